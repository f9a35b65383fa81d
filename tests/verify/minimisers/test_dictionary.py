"""The linear programme over relu directions: closed forms, duality and refusals."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from verify.minimisers import bracket_dictionary_minimum, dictionary_minimum
from verify.minimisers.dictionary import InfeasibleDictionaryError
from verify.models import BracketModel, bracket_contexts, exact_excess, trace_hessian

ALPHA = 1.5
CURVATURE = math.exp(-ALPHA) / (1 + math.exp(-ALPHA)) ** 2


def random_directions(T: int, n: int = 200, seed: int = 0) -> Tensor:
    return torch.randn(n, T, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ones(T: int) -> Tensor:
    return torch.stack([torch.ones(T), -torch.ones(T)]).double()


@pytest.mark.parametrize("T", [4, 6])
def test_closed_form_all_ones_are_flattest_and_alone(T: int) -> None:
    directions = torch.cat([random_directions(T), ones(T)])
    found = bracket_dictionary_minimum(T, ALPHA, directions)
    expected = CURVATURE * 2 * ALPHA * math.sqrt(T - 1)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.lower_bound == pytest.approx(expected, rel=1e-9)
    assert found.active.tolist() == [200, 201]
    without = bracket_dictionary_minimum(T, ALPHA, directions[:200])
    assert without.lower_bound > 1.05 * expected


def test_enumeration_integer_directions_do_not_beat_all_ones() -> None:
    T = 4
    grid = torch.tensor([u for u in itertools.product((-2, -1, 0, 1, 2), repeat=T) if any(u)]).double()
    found = bracket_dictionary_minimum(T, ALPHA, grid)
    assert found.value == pytest.approx(CURVATURE * 2 * ALPHA * math.sqrt(T - 1), rel=1e-9)
    support = grid[found.active]
    assert (support == support[:, :1]).all()


def test_property_the_certificate_is_dual_feasible_and_tight() -> None:
    T, directions = 4, random_directions(4)
    found = bracket_dictionary_minimum(T, ALPHA, directions)
    z = bracket_contexts(T, nested=False)
    unit = directions / directions.norm(dim=-1, keepdim=True)
    features = (z @ unit.mT).clamp(min=0)
    on = (features > 0).double().mean(0)
    cost = 2 * CURVATURE * ((T - 1) * on * features.square().mean(0)).sqrt()
    assert ((found.dual @ features).abs() <= cost * (1 + 1e-12)).all()
    assert found.lower_bound <= found.value * (1 + 1e-12)
    assert found.lower_bound == pytest.approx(found.value, rel=1e-7)  # HiGHS's feasibility tolerance
    assert found.value == pytest.approx(float((cost * found.coefficients.abs()).sum()), rel=1e-12)
    assert found.residual <= 1e-7


def test_oracle_the_solution_is_a_network_with_that_trace() -> None:
    T, directions = 4, random_directions(4)
    found = bracket_dictionary_minimum(T, ALPHA, directions)
    model = BracketModel(T, len(found.active), ALPHA)
    unit = directions[found.active] / directions[found.active].norm(dim=-1, keepdim=True)
    features = (model.contexts @ unit.mT).clamp(min=0)
    mass = found.coefficients[found.active]
    fan_in = (T - 1) * (features > 0).double().mean(0)
    scale = (mass.square() * fan_in / features.square().mean(0)) ** 0.25
    theta = model.join(mass / scale, scale[:, None] * unit)
    assert float(exact_excess(model, theta)) <= 1e-12
    assert float(trace_hessian(model, theta)) == pytest.approx(found.value, rel=1e-6)


def test_closed_form_biases_allow_memorising_neurons_at_the_same_cost() -> None:
    # ‖(z, 1)‖² = T; a neuron active on one context x₀ costs as much per unit of f as one active on a whole class
    T = 4
    z = bracket_contexts(T, nested=False)
    memorising = torch.cat([z, torch.full_like(z[:, :1], -(T - 2.0))], dim=1)
    found = bracket_dictionary_minimum(T, ALPHA, memorising, bias=True)
    assert found.value == pytest.approx(CURVATURE * 2 * ALPHA * math.sqrt(T), rel=1e-9)
    assert len(found.active) == len(z)


def test_closed_form_nested_words_keep_the_value() -> None:
    found = bracket_dictionary_minimum(6, ALPHA, ones(6), nested=True)
    assert found.value <= CURVATURE * 2 * ALPHA * math.sqrt(5) * (1 + 1e-12)


def test_closed_form_squared_loss() -> None:
    T = 4
    z = bracket_contexts(T, nested=False)
    prob = torch.full((len(z),), 1 / len(z), dtype=torch.float64)
    found = dictionary_minimum(z, prob, -z.sum(-1), 2.0, ones(T))
    assert found.value == pytest.approx(4 * math.sqrt(T - 1), rel=1e-9)


def test_property_a_larger_dictionary_is_never_worse_and_scale_is_irrelevant() -> None:
    T = 4
    small, large = random_directions(T, 100), random_directions(T, 100)
    large = torch.cat([small, random_directions(T, 60, seed=1)])
    one, two = bracket_dictionary_minimum(T, ALPHA, small), bracket_dictionary_minimum(T, ALPHA, large)
    assert two.value <= one.value * (1 + 1e-9)
    assert bracket_dictionary_minimum(T, ALPHA, 7 * small).value == pytest.approx(one.value, rel=1e-9)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(InfeasibleDictionaryError, match="add directions"):
        bracket_dictionary_minimum(4, ALPHA, ones(4)[:1])
    with pytest.raises(ValueError, match="one row per direction"):
        bracket_dictionary_minimum(4, ALPHA, ones(6))
    with pytest.raises(ValueError, match="drop it"):
        bracket_dictionary_minimum(4, ALPHA, torch.zeros(1, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="even"):
        bracket_dictionary_minimum(5, ALPHA, ones(5))
    with pytest.raises(ValueError, match="finite alpha"):
        bracket_dictionary_minimum(4, math.inf, ones(4))


def test_enumeration_gates_at_exactly_zero_are_closed() -> None:
    """±(2, 1, …, 1): where the mask leaves 2 − 1 − 1 + 0 = 0 the neuron is off and costs nothing."""
    u = torch.ones(1, 6, dtype=torch.float64)
    u[0, 0] = 2
    z = bracket_contexts(6, nested=False)
    assert bool((z @ u[0] == 0).any())
    directions = torch.cat([u, -u, random_directions(6, 60), -random_directions(6, 60)])
    found = bracket_dictionary_minimum(6, ALPHA, directions)
    prob = torch.full((len(z),), 1 / len(z), dtype=torch.float64)
    preactivation = z @ u[0]
    second_moment, active = prob @ preactivation.clamp(min=0).square(), prob @ (preactivation > 0).double()
    cost = 2 * CURVATURE * float((5 * active * second_moment).sqrt())
    # The dual certificate prices every direction at no more than its cost; that of u is the enumerated one.
    for sign in (1, -1):
        assert float(found.dual @ (sign * preactivation).clamp(min=0)) <= cost * (1 + 1e-12)
    assert found.lower_bound == pytest.approx(found.value, rel=1e-9)
