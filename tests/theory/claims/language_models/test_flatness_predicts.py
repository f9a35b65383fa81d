"""Rank correlations of raw traces are what rescaling makes of them: by scipy, and mutants that are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from scipy.stats import spearmanr

from theory.claims.language_models.flatness_predicts import CLAIM, covariance, i, networks, other, rank, scaled
from theory.claims.symmetry import trace_is_not_invariant
from theory.kernel import CheckFailedError, Derivation, Terms


def test_status_is_a_conjecture_whose_other_steps_are_checked() -> None:
    d = CLAIM.derivation
    assert CLAIM.status == "conjecture"
    assert [step.name for step in d.steps if step.kind == "conjecture"] == ["predicts"]
    assert all(s.checked for s in d.steps if s.kind not in {"hypothesis", "definition", "conjecture"})
    lemmas = {step.name for step in d.steps if step.kind == "lemma"}
    assert lemmas == {"unbounded", "invariant first", "invariant second", "kept", "removed"}
    assert CLAIM.formulas == {}


@pytest.mark.parametrize("wanted", [-1, 1])
def test_cross_library_rescaling_makes_any_rank_correlation(wanted: int) -> None:
    generator = np.random.default_rng(0)
    accuracy = generator.uniform(size=7)
    p, q, rest = generator.uniform(0.5, 3.0, size=(3, 7))
    before = [trace_is_not_invariant.CLAIM.predict(p=a, q=b, rest=r, c=1.0) for a, b, r in zip(p, q, rest, strict=True)]
    assert abs(spearmanr(before, accuracy).statistic) < 1
    last, traces = 0.0, np.empty(7)
    for network in np.argsort(accuracy)[::wanted]:  # `reversed`, one network after the other
        bound = last + 0.1
        values = {"p": p[network], "q": q[network], "rest": rest[network]}
        last = traces[network] = trace_is_not_invariant.CLAIM.predict(**values, c=math.sqrt(p[network] / bound))
    assert spearmanr(traces, accuracy).statistic == pytest.approx(wanted, abs=4 * 2.0**-52)


@pytest.mark.parametrize("psi", [0.0, 0.5, 1.0])
def test_finite_difference_units_closed_at_the_mask_have_no_curvature(psi: float) -> None:
    """One context, p = σ(uv + units), the units reading s = u with |u| < 2: in none of their parameters does L move."""

    def loss(u: float, v: float, out: float, scale: float, bias: float) -> float:
        units = [max(scale * sign * u - bias, 0.0) for sign in (1, -1)]
        logit = (u - out * (units[0] - units[1])) * v
        return 0.7 * math.log1p(math.exp(-logit)) + 0.3 * math.log1p(math.exp(logit))

    point = (0.9, 1.1, psi, 1.0, 2.0)
    for coordinate in (2, 3, 4):
        for step in (-0.1, 0.1):
            moved = [x + step * (k == coordinate) for k, x in enumerate(point)]
            assert loss(*moved) == loss(*point)


def test_mutant_without_a_margin_nothing_is_strictly_reversed() -> None:
    d = Derivation("mutant")
    d.lemma("unbounded", trace_is_not_invariant.CLAIM.derivation, "unbounded")
    bound = sp.Symbol("M", positive=True)
    at_least = d.instance("above", "unbounded", {bound: other}, "the other trace itself as the bound")
    d.define("scaled", sp.Eq(scaled, at_least.statement.lhs), "scaled")
    with pytest.raises(CheckFailedError, match="strict"):
        d.inequality("reversed", sp.Gt(scaled, other), "≥ only", Terms(using={"above": sp.S.One}), given=("scaled",))


@pytest.mark.parametrize("wrong", [1, 0, -sp.Rational(1, 2)])
def test_mutant_another_correlation_of_opposite_ranks_is_refused(wrong: sp.Expr) -> None:
    d = Derivation("mutant")
    d.assume("mean rank", CLAIM.derivation["mean rank"].statement, "as derived")
    correlation = covariance(rank[i], networks + 1 - rank[i]) / covariance(rank[i], rank[i])
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("opposite", sp.Eq(correlation, wrong), "wrong", given=("mean rank",))


def test_mutant_ranks_about_another_mean_are_refused() -> None:
    d = Derivation("mutant")
    mean = CLAIM.derivation["mean rank"].statement.lhs
    d.assume("mean rank", sp.Eq(mean, networks / 2), "the mean of 0…N")
    correlation = covariance(rank[i], networks + 1 - rank[i]) / covariance(rank[i], rank[i])
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("opposite", sp.Eq(correlation, -1), "wrong mean", given=("mean rank",))
