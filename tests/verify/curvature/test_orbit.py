"""The orbit of a network against the exact Fisher matrix, closed forms and networks that were moved."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.verify.networks.test_rescaling import CONTEXTS, fisher_diagonal, network
from tests.verify.networks.test_symmetries import elements
from verify.curvature import Population
from verify.curvature.orbit import Orbit, balanced, orbit
from verify.networks import Lstm, LstmConfig
from verify.networks.symmetries import moved

ROUNDING = 1e-9
"""Relative: 1000 roundings of 2⁻⁵², times a condition number of 16 and a factor of 100."""


def population() -> Population:
    n = len(CONTEXTS)
    return Population(
        CONTEXTS, torch.full((n,), 1 / n, dtype=torch.float64), torch.full((n, 3), 1 / 3, dtype=torch.float64)
    )


def scalar(first: float, second: float) -> Orbit:
    """One group of one parameter on each side, and a rest of 5."""
    moments = torch.tensor([first, second], dtype=torch.float64).reshape(2, 1, 1, 1)
    return Orbit(torch.tensor(5.0 + first + second, dtype=torch.float64), {"norm": moments})


def test_enumeration_the_trace_is_that_of_the_exact_fisher_matrix_and_the_rest_is_what_no_group_has() -> None:
    model = network()
    own, diagonal = orbit(model, population()), fisher_diagonal(model)
    assert float(own.trace) == pytest.approx(float(sum(part.sum() for part in diagonal.values())), rel=ROUNDING)
    free = ("token", "position", "mlp_norm", "attention_norm", "out.bias", "output.bias", "unembedding.bias")
    rest = sum(float(part.sum()) for name, part in diagonal.items() if any(mark in name for mark in free))
    assert float(own.rest) == pytest.approx(rest, rel=ROUNDING)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_enumeration_the_balanced_network_has_the_least_trace_and_every_point_the_same_least(activation: str) -> None:
    model = network(activation=activation)
    own = orbit(model, population())
    there = orbit(balanced(model, own), population())
    assert float(there.trace) == pytest.approx(float(own.least), rel=ROUNDING)
    assert float(own.at(own.elements)) == pytest.approx(float(own.least), rel=ROUNDING)
    other = elements(model)
    elsewhere = orbit(moved(model, other), population())
    assert float(elsewhere.trace) == pytest.approx(float(own.at(other)), rel=ROUNDING)
    assert float(elsewhere.least) == pytest.approx(float(own.least), rel=ROUNDING)
    assert float(own.least) < float(own.trace)
    assert float(own.least) < float(elsewhere.trace)


def test_closed_form_one_factor_is_twice_the_root_of_the_product() -> None:
    own = scalar(9.0, 4.0)
    assert float(own.least) == pytest.approx(5 + 2 * 6, rel=1e-14)
    assert float(own.elements["norm"]) ** 4 == pytest.approx(9 / 4, rel=1e-14)
    assert float(own.at({"norm": torch.full((1, 1, 1), 2.0, dtype=torch.float64)})) == pytest.approx(5 + 9 / 4 + 16)


def test_closed_form_commuting_moments_are_factors_one_by_one() -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    first, second = (turn @ torch.tensor(v, dtype=torch.float64).diag() @ turn.mT for v in ([1.0, 4, 9], [4.0, 1, 16]))
    own = Orbit((first + second).trace(), {"queries": torch.stack([first, second]).unsqueeze(1)})
    assert float(own.least) == pytest.approx(2 * (2 + 2 + 12), rel=1e-13)
    assert float(own.rest) == pytest.approx(0, abs=1e-13)


@pytest.mark.parametrize("moments", [(0.0, 0.0), (3.0, 0.0)])
def test_closed_form_a_least_value_that_is_not_attained_leaves_the_group_alone(moments: tuple[float, float]) -> None:
    own = scalar(*moments)
    assert float(own.least) == 5
    assert float(own.at(own.elements)) == float(own.trace)


def test_property_members_of_a_stack_have_the_orbits_that_they_have_alone() -> None:
    model = network((2,))
    together, alone = orbit(model, population()), orbit(model.member(1), population())
    for found in ("trace", "rest", "nuclear", "least"):
        value: Tensor = getattr(together, found)
        assert float(value[1]) == pytest.approx(float(getattr(alone, found)), rel=ROUNDING)


def test_an_lstm_has_no_orbit_but_itself() -> None:
    model = Lstm(LstmConfig(3, 3, width=4, layers=1, padded=True), (), [torch.Generator().manual_seed(0)]).double()
    own = orbit(model, population())
    assert own.elements == {}
    assert float(own.least) == float(own.trace) > 0
