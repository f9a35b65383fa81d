"""Penalty and noise: equal by closed form, isotropic noise by exact moments, and mutants that are refused."""

from __future__ import annotations

import pytest
import sympy as sp

from theory import ParameterError
from theory.claims.language_models.flatness_mediates import CLAIM, isotropic, noise, sampled
from theory.claims.noise import plateau
from theory.claims.noise.plateau import batch, beta, eta, h
from theory.claims.noise.slow_flow import dimension, normal
from theory.kernel import CheckFailedError, Derivation


def test_status_is_a_conjecture_whose_other_steps_are_checked() -> None:
    d = CLAIM.derivation
    assert CLAIM.status == "conjecture"
    assert [step.name for step in d.steps if step.kind == "conjecture"] == ["mediates"]
    assert all(s.checked for s in d.steps if s.kind not in {"hypothesis", "definition", "conjecture"})
    assert {step.name for step in d.steps if step.kind == "lemma"} == {
        "slow-flow",
        "noise-moves",
        "plateau",
        "trace-slope",
    }


def test_closed_form_the_penalty_is_the_plateau() -> None:
    assert CLAIM.predict(eta=0.1, B=8, beta=0.0) == pytest.approx(0.1 / 32, rel=2.0**-52)
    for momentum in (0.0, 0.9):
        weight = CLAIM.predict(eta=0.02, B=4, beta=momentum)
        height = plateau.CLAIM.predict("momentum", eta=0.02, B=4, beta=momentum, trace=7.0)
        assert weight * 7.0 == pytest.approx(height, rel=4 * 2.0**-52)
    assert CLAIM.predict("share", r=3, D=12) == 0.25


@pytest.mark.parametrize("rate", [0.01, 0.001])
def test_iteration_isotropic_noise_drifts_down_the_log_of_the_curvature(rate: float) -> None:
    """L = ½ e^x y² at x = 0: ∂_x log pdet H = 1. Stationary E y² by iteration, then the mean step of x over η²."""
    variance, second_moment = 0.7, 0.0
    for _ in range(round(20 / rate)):
        second_moment = (1 - rate) ** 2 * second_moment + rate**2 * variance
    drift = -rate * second_moment / 2 / rate**2
    # −(V/4)/(1 − η/2); what is left of the start is e^{−40}, roundings of a step are kept for 1/2η steps
    assert drift == pytest.approx(-variance / 4 / (1 - rate / 2), rel=2.0**-52 * 2 / rate)
    assert drift == pytest.approx(-variance / 4, rel=rate)


def test_mutant_twice_the_stationary_variance_is_refused() -> None:
    wrong = 2 * eta * noise / (h * (2 - eta * h))
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").identity(
            "stationary", sp.Eq((1 - eta * h) ** 2 * wrong + eta**2 * noise, wrong), "twice the variance"
        )


def test_mutant_noise_in_every_direction_as_good_as_across_gamma_is_refused() -> None:
    d = Derivation("mutant")
    for name in ("isotropic", "sampled"):
        d.define(name, CLAIM.derivation[name].statement, "as derived")
    for name in ("norm", "equal"):
        d.assume(name, CLAIM.derivation[name].statement, "as derived")
    given = ("isotropic", "sampled", "norm", "equal")
    for wrong in (sp.S.One, dimension / normal):
        with pytest.raises(CheckFailedError, match="remainder"):
            d.identity("share", sp.Eq(isotropic / sampled, wrong), "wrong", given=given)


@pytest.mark.parametrize("wrong", [eta / (2 * batch * (1 - beta)), eta / (4 * batch * (1 - beta) ** 2)])
def test_mutant_another_weight_is_refused(wrong: sp.Expr) -> None:
    d = Derivation("mutant")
    step = CLAIM.derivation["step"].statement
    d.define("step", step, "as derived")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("weight", sp.Eq(step.lhs / (eta / (1 - beta)), wrong), "wrong", given=("step",))


def test_error_outside_the_domain() -> None:
    with pytest.raises(ParameterError, match="beta = 1"):
        CLAIM.predict(eta=0.1, B=1, beta=1.0)
