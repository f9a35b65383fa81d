"""The share of a language that a bag of words explains: closed forms, enumeration, refusals."""

import math
from collections import defaultdict
from fractions import Fraction
from itertools import permutations

import pytest
import torch
from hypothesis import given

from synthetic import Language
from synthetic.catalogue import exchangeability
from synthetic.closed_form import BracketLanguage, TableLanguage
from synthetic.hmm import HMM, zipf_topics
from synthetic.testing.strategies.basic import table_languages
from synthetic.testing.strategies.hidden_markov import hmm_languages
from synthetic.tokens import PAD


def test_closed_form_bags_explain_all_of_an_exchangeable_language() -> None:
    found = exchangeability(zipf_topics(torch.Generator().manual_seed(0), 3, 4, 4))
    assert abs(found.bag_entropy - found.entropy_floor) < 1e-14
    assert abs(exchangeability(BracketLanguage(4, 1.5)).share - 1) < 1e-14


@pytest.mark.parametrize("c", [3, 5])
def test_closed_form_a_bag_does_not_tell_before_from_after(c: int) -> None:
    # x₂ = x₁ + 1 mod c: the position tells y exactly; without it y is the number before or after, at even odds.
    found = exchangeability(TableLanguage(tuple(map(str, range(c))), {(v, (v + 1) % c): 1 for v in range(c)}))
    assert abs(found.entropy_floor) < 1e-15
    assert math.isclose(found.bag_entropy, math.log(2))
    assert math.isclose(found.share, 1 - math.log(2) / math.log(c))


@given(hmm_languages(max_length=3))
def test_enumeration_the_best_predictor_from_a_bag_is_the_conditional_of_the_symmetrised_law(language: HMM) -> None:
    compare_with_symmetrised(language)


@given(table_languages())
def test_enumeration_also_where_lengths_vary(language: TableLanguage) -> None:
    compare_with_symmetrised(language)


def compare_with_symmetrised(language: Language) -> None:
    weights: dict[tuple[int, ...], Fraction] = defaultdict(Fraction)
    for sentence, prob in language.enumerate_exact().items():
        words = tuple(v for v in sentence if v != PAD)
        orders = list(permutations(words))
        for order in orders:
            weights[order] += prob / len(orders)
    own, symmetrised = exchangeability(language), exchangeability(TableLanguage(language.vocabulary, weights))
    assert abs(own.unigram_entropy - symmetrised.unigram_entropy) < 1e-12
    assert abs(own.bag_entropy - symmetrised.entropy_floor) < 1e-12
    assert abs(symmetrised.bag_entropy - symmetrised.entropy_floor) < 1e-12
    assert abs(own.entropy_floor - language.entropy_floor()) < 1e-12
    assert own.entropy_floor - 1e-12 < own.bag_entropy < own.unigram_entropy + 1e-12


def test_a_language_of_which_nothing_can_be_learnt_has_no_share() -> None:
    fair = TableLanguage(("a", "b"), dict.fromkeys([(0, 0), (0, 1), (1, 0), (1, 1)], 1))
    with pytest.raises(ValueError, match=r"expected a learnable gap .* > 0, got .*; no context tells"):
        exchangeability(fair).share  # noqa: B018 # the property raises
