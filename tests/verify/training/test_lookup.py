"""Lookup tables: an exact fit, whatever their features are."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch

from synthetic.closed_form.brackets import BracketLanguage
from synthetic.closed_form.pairs import PairLanguage
from synthetic.enumeration import ImpossibleContextError
from synthetic.hmm.language import HMM
from synthetic.tokens import MASK, PAD, mask
from tests.verify.training.examples import EPS, small_language, stream
from verify.downstream.features import every_masked_state, masked_position_state, unmasked_states
from verify.models.divergence import kl_divergence
from verify.training.lookup import LOG_FLOOR, LookupTable
from verify.training.tables import context_table

LANGUAGES = {"hmm": small_language(), "brackets": BracketLanguage(4), "noisy pairs": PairLanguage(3, 1.5)}


@pytest.mark.parametrize("name", LANGUAGES)
def test_enumeration_the_excess_is_zero(name: str) -> None:
    table = context_table(LANGUAGES[name])
    order = torch.randperm(len(table.contexts), generator=stream(0))
    model = LookupTable(table, "log-prob")
    log_prob = model(table.contexts[order])
    assert torch.equal(log_prob, table.conditional[order].log())
    assert not bool(kl_divergence(table.conditional[order], log_prob).any())
    assert torch.equal(model.index(table.contexts[order]), order)


@pytest.mark.parametrize("name", LANGUAGES)
def test_closed_form_features(name: str) -> None:
    table = context_table(LANGUAGES[name])
    prob, log = (LookupTable(table, kind).masked_state(table.contexts) for kind in ("prob", "log-prob"))
    assert torch.equal(prob, table.conditional)
    assert torch.equal(log, table.conditional.clamp(min=math.exp(2 * LOG_FLOOR)).log().clamp(min=LOG_FLOOR))
    assert bool(torch.isfinite(log).all())
    assert LookupTable(table, "prob").width == LANGUAGES[name].n_tokens


def test_property_random_codes_are_gaussian_and_belong_to_the_context() -> None:
    table = context_table(LANGUAGES["hmm"])
    width = 50
    model = LookupTable(table, "random", width=width, generator=stream(2))
    code = model.masked_state(table.contexts)
    raw = torch.randn(len(table.contexts), width, generator=stream(2), dtype=torch.float64)
    torch.testing.assert_close(code, raw / math.sqrt(width), rtol=2 * EPS, atol=0)
    assert model.width == width
    twice = model.masked_state(table.contexts[[3, 3, 5]])
    assert torch.equal(twice, code[[3, 3, 5]])
    assert len(torch.unique(code, dim=0)) == len(code)


def test_enumeration_states_are_the_codes_of_the_masked_sentences() -> None:
    language = LANGUAGES["hmm"]
    model = LookupTable(context_table(language), "prob")
    sentences = language.sample(6, stream(3))
    states = model.states(sentences)
    for t in range(language.length):
        expected = language.masked_conditional(mask(sentences, torch.full((6,), t)))
        # The table and the language work p* out from other batches.
        torch.testing.assert_close(states[:, t], expected, rtol=0, atol=64 * EPS)
        assert torch.equal(states[:, t], masked_position_state(model, sentences, t))
    assert torch.equal(states.flatten(-2), unmasked_states(model, sentences))
    assert torch.equal(states.flatten(-2), every_masked_state(model, sentences))


def test_padding_has_the_state_zero() -> None:
    stay = torch.tensor([[0.7, 0.3], [0.4, 0.6]], dtype=torch.float64)
    lengths = torch.tensor([0.0, 0.5, 0.5], dtype=torch.float64)
    language = HMM(stay, stay.flip(0), stay[0], lengths)
    model = LookupTable(context_table(language), "prob")
    states = model.states(torch.tensor([[0, 1, PAD], [1, 0, 1]]))
    assert not bool(states[0, 2].any())
    assert bool((states[0, :2].sum(-1) - 1).abs().max() <= 4 * EPS)
    assert bool((states[1].sum(-1) - 1).abs().max() <= 4 * EPS)


def test_errors() -> None:
    table = context_table(LANGUAGES["brackets"])
    model = LookupTable(table, "prob")
    with pytest.raises(ImpossibleContextError, match=r"got \[1, 1, 1, -1\], which is not in the table; mask one"):
        model(torch.tensor([[1, 1, 0, MASK], [1, 1, 1, MASK]]))
    cases: list[tuple[str, dict[str, Any]]] = [
        ("random", {}),
        ("random", {"width": 3}),
        ("random", {"generator": stream(0)}),
        ("prob", {"width": 3}),
        ("log-prob", {"generator": stream(0)}),
        ("prob", {"width": 3, "generator": stream(0)}),
    ]
    for representation, options in cases:
        with pytest.raises(ValueError, match="expected width and generator for a random code and for no other"):
            LookupTable(table, representation, **options)  # type: ignore[arg-type]
    # Past beartype, which refuses it first where annotations are checked.
    with pytest.raises(ValueError, match="expected a representation prob, log-prob or random, got 'one-hot'"):
        inspect.unwrap(LookupTable.__init__)(model, table, "one-hot")
