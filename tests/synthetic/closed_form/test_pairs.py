"""The pair language: closed forms, Bayes on the joint law, multiple precision, refusals."""

import math
import subprocess
import sys

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic import MASK, Language
from synthetic.closed_form import PairLanguage
from synthetic.testing import conformance
from synthetic.testing.strategies import contexts, pair_languages

EPS = torch.finfo(torch.float64).eps


@pytest.mark.parametrize(("d", "alpha"), [(2, 1.5), (5, 0.0), (4, -3.0), (3, 40.0), (2, 800), (3, 2), (40, 1.0)])
def test_conforms(d: int, alpha: float) -> None:
    skipped = set(conformance(PairLanguage(d, alpha), n=4000).skipped)
    too_large = {"probabilities sum to one", "sampling frequencies", "masked sampling frequencies"}
    assert skipped == (too_large if d == 40 else set())


@given(pair_languages(max_d=5), st.data())
@settings(max_examples=40, deadline=None)
def test_closed_form_agrees_with_bayes_at_any_masked_position(language: PairLanguage, data: st.DataObject) -> None:
    batch = data.draw(contexts(language))
    bayes = Language.masked_conditional(language, batch)
    # The default route exponentiates a difference of logarithms of size |α| + d log 2 <= 30 + 4.
    torch.testing.assert_close(language.masked_conditional(batch), bayes, rtol=4 * 35 * EPS, atol=0.0)
    log_bayes = Language.log_masked_conditional(language, batch)
    torch.testing.assert_close(language.log_masked_conditional(batch), log_bayes, rtol=4 * EPS, atol=4 * 35 * EPS)


@pytest.mark.parametrize("alpha", [1e-8, 0.5, 1.5, 12.0, 40.0, -40.0, 700.0])
def test_conditional_to_the_last_digits(alpha: float) -> None:
    language = PairLanguage(3, alpha)
    agree = torch.tensor([[1, 1, 0, MASK], [0, 1, 0, MASK]])
    got = language.masked_conditional(agree)
    with mpmath.workdps(400):
        keep = 1 / (1 + mpmath.exp(-mpmath.mpf(alpha)))
        expected = torch.tensor([[float(1 - keep), float(keep)], [float(keep), float(1 - keep)]], dtype=torch.float64)
    # exp to one unit, then a sum and a quotient.
    torch.testing.assert_close(got, expected, rtol=4 * EPS, atol=0.0)


def test_logarithm_stays_finite_where_the_probability_underflows() -> None:
    context = torch.tensor([[1, 1, MASK]])
    assert PairLanguage(2, 1000.0).masked_conditional(context).tolist() == [[0.0, 1.0]]
    assert PairLanguage(2, 1000.0).log_masked_conditional(context).tolist() == [[-1000.0, 0.0]]


def test_contexts_are_the_whole_cube_in_enumeration_order() -> None:
    language = PairLanguage(3, 1.0)
    z = language.contexts()
    assert z.shape == (8, 3)
    assert sorted(z.tolist()) == [[a, b, c] for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-1.0, 1.0)]
    listed = language.enumerate_contexts()
    assert listed.prob.tolist() == pytest.approx([1 / 8] * 8, rel=8 * EPS)
    expected = torch.sigmoid(z[:, 0] * z[:, 1])
    assert torch.equal(language.masked_conditional(listed.contexts)[:, 1], expected)


def test_floor_is_the_entropy_of_the_noise() -> None:
    language = PairLanguage(4, 1.5)
    assert language.entropy_floor() == pytest.approx(Language.entropy_floor(language), rel=32 * EPS)
    assert PairLanguage(4, 0.0).entropy_floor() == math.log(2)


def test_rendering() -> None:
    assert PairLanguage(2, 1.0).render(torch.tensor([0, 1, MASK])) == "-1 +1 _"


@pytest.mark.parametrize("d", [1, 0, -3])
def test_too_few_tokens_are_refused(d: int) -> None:
    with pytest.raises(ValueError, match=f"expected an integer d >= 2, got {d}; the label needs"):
        PairLanguage(d, 1.0)


@pytest.mark.parametrize("alpha", [math.inf, math.nan])
def test_non_finite_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="expected a finite noise parameter alpha"):
        PairLanguage(2, alpha)


def test_fractional_sizes_are_refused_also_without_the_test_hook() -> None:
    # Under pytest beartype refuses a float d before the language does, hence another interpreter.
    program = """
from synthetic.closed_form.brackets import BracketLanguage
from synthetic.closed_form.pairs import PairLanguage
for build in (lambda: PairLanguage(2.5, 1.0), lambda: PairLanguage(float("nan"), 1.0), lambda: BracketLanguage(4.5)):
    try:
        build()
    except ValueError as error:
        assert "expected an" in str(error), error
    else:
        raise SystemExit(1)
assert PairLanguage(3.0, 1.0).length == 4 and BracketLanguage(4.0).T == 4
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_malformed_contexts_are_refused() -> None:
    language = PairLanguage(2, 1.0)
    for method in (language.masked_conditional, language.log_masked_conditional):
        with pytest.raises(ValueError, match="exactly one position"):
            method(torch.tensor([[0, 1, 1]]))
        with pytest.raises(ValueError, match=r"expected tokens 0\.\.1 or MASK = -1, got 7"):
            method(torch.tensor([[7, 1, MASK]]))
        with pytest.raises(ValueError, match=r"expected shape \(sentence, 3\)"):
            method(torch.tensor([[1, MASK]]))
    with pytest.raises(ValueError, match=r"expected tokens 0\.\.1, got -1"):
        language.log_prob(torch.tensor([[0, 1, MASK]]))


def test_negative_sample_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a sample size n >= 0, got -1"):
        PairLanguage(2, 1.0).sample(-1, torch.Generator())
    assert PairLanguage(2, 1.0).sample(0, torch.Generator()).shape == (0, 3)
