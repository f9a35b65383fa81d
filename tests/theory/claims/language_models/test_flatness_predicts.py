"""Rank correlations of raw traces are what rescaling makes of them: by scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from scipy.stats import spearmanr

from theory.claims.language_models.flatness_predicts import other, scaled
from theory.claims.symmetry import trace_is_not_invariant
from theory.kernel import CheckFailedError, Derivation, Terms


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
    bound = sp.Symbol("A", positive=True)
    at_least = d.instance("above", "unbounded", {bound: other}, "the other trace itself as the bound")
    d.define("scaled", sp.Eq(scaled, at_least.statement.lhs), "scaled")
    with pytest.raises(CheckFailedError, match="strict"):
        d.inequality("reversed", sp.Gt(scaled, other), "≥ only", Terms(using={"above": sp.S.One}), given=("scaled",))
