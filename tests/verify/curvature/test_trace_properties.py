"""Blocks, sharing, cost, seeds and what is refused, for every method."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.verify.curvature.examples import (
    EPS,
    Drawn,
    Tied,
    filled,
    hessian_by_autograd,
    mlp,
    off_gamma,
    on_gamma,
    rounding,
    seeded,
    vectors,
)
from verify.curvature.data import Data, Examples, Population, softmax_of_model
from verify.curvature.problem import Problem
from verify.curvature.trace import EXACT_LIMIT, METHODS, trace
from verify.statistics.intervals import Interval


def test_property_anything_that_draws_is_data() -> None:
    assert isinstance(Drawn(on_gamma(mlp(), vectors())), Data)
    assert not isinstance(vectors(), Data)


@pytest.mark.parametrize("method", METHODS)
def test_property_blocks_sum_to_the_whole(method: str) -> None:
    blocks = {"in": "0.", "out": ("2.weight",)}
    for data in (off_gamma(mlp(), vectors()), Drawn(off_gamma(mlp(), vectors()))):
        found = trace(mlp(), data, method, generator=seeded(), batches=32, blocks=blocks)
        assert list(found.blocks) == ["in", "out", "rest"]
        total = sum(block.estimate for block in found.blocks.values())
        assert found.estimate == pytest.approx(total, abs=rounding(found, total))
        plain = trace(mlp(), data, method, generator=seeded(), batches=32)
        assert plain.blocks == {}
        assert plain.interval == found.interval


@pytest.mark.parametrize("method", METHODS)
def test_property_a_shared_parameter_is_counted_once(method: str) -> None:
    model = filled(Tied())
    population = on_gamma(model, vectors())
    expected = float(hessian_by_autograd(model, population).trace())
    found = trace(model, population, method, generator=seeded(), batches=64, level=1 - 1e-6)
    assert found.low <= expected <= found.high
    assert len(Problem(model, lambda m, x: m(x)).parameters) == 3


def test_property_frozen_parameters_are_left_out() -> None:
    model = mlp()
    population = on_gamma(model, vectors())
    whole = trace(model, population, "exact", generator=seeded(), blocks={"weight": "0.weight"})
    assert isinstance(model, nn.Sequential)
    for parameter in (model[0].bias, model[2].weight, model[2].bias):
        parameter.requires_grad_(False)
    for method in ("exact", "gauss-newton"):
        part = trace(model, population, method, generator=seeded())
        assert part.estimate == pytest.approx(whole.blocks["weight"].estimate, rel=512 * EPS)


# Gradient-equivalents by hand. A forward pass is 1/3, a backward pass 2/3, through activations alone 1/3, a product 2.
COSTS: dict[str, tuple[float, float]] = {
    # method: on the population of 5 with 31 parameters, on 32 batches of 2 with 3 probes
    "exact": (5 * (1 + 2 * 31), 64 * (1 + 2 * 31)),
    "fisher": (64 * (1 / 3 + 2 / 3 * 3),) * 2,
    "fisher-per-sample": (64 * (1 / 3 + 1 / 3 * 3),) * 2,
    "gauss-newton": (5 * (1 / 3 + 2 / 3 * 3), 64 * (1 / 3 + 2 / 3 * 3)),
    "hutchinson": (5 * (1 + 2 * 32), 64 * (1 + 2 * 3)),
    "hutch++": (5 * (1 + 2 * (32 + 2 * 31)), 64 * (1 + 2 * 9)),
}


@pytest.mark.parametrize("method", METHODS)
def test_closed_form_cost(method: str) -> None:
    population = on_gamma(mlp(), vectors())
    sources: tuple[Data, Data] = (population, Drawn(population))
    for data, expected in zip(sources, COSTS[method], strict=True):
        found = trace(mlp(), data, method, generator=seeded(7), batches=32, batch_size=2, probes=3)
        assert found.cost.gradients == pytest.approx(expected, rel=64 * EPS)
        assert found.cost.seconds > 0
        assert (found.method, found.seed, found.dtype, found.device) == (method, 7, "float64", "cpu")
    assert (found.batches, found.batch_size, found.probes, found.pilot) == (32, 2, 3, 0)


def test_closed_form_cost_of_scores_that_are_formed() -> None:
    tied, population = filled(Tied()), on_gamma(filled(Tied()), vectors())
    found = trace(tied, population, "fisher-per-sample", generator=seeded(), batches=32, probes=2)
    assert found.cost.gradients == pytest.approx(32 * 32 * ((1 + 2) / 3 + (1 + 2 * 2) / 3), rel=64 * EPS)


def test_property_inputs_of_probability_zero_are_not_taken() -> None:
    population = on_gamma(mlp(), vectors())
    prob = torch.tensor([0.5, 0.0, 0.25, 0.25, 0.0], dtype=torch.float64)
    some = Population(vectors(), prob, population.conditional)
    used = Population(vectors()[prob > 0], prob[prob > 0], population.conditional[prob > 0])
    for method in ("exact", "gauss-newton", "hutchinson"):
        found = [trace(mlp(), data, method, generator=seeded()) for data in (some, used)]
        assert found[0] == found[1]  # cost is not compared
        assert found[0].cost.gradients == found[1].cost.gradients
        assert found[0].batch_size == 3


@pytest.mark.parametrize("method", METHODS)
def test_property_the_same_seed_gives_the_same_estimate(method: str) -> None:
    data = Drawn(on_gamma(mlp(), vectors()))
    first, second, other = (trace(mlp(), data, method, generator=seeded(seed), batches=32) for seed in (1, 1, 2))
    assert first == second
    assert first.estimate != other.estimate


def test_property_float32_agrees_to_its_precision() -> None:
    population = on_gamma(mlp(), vectors())
    single = Population(vectors().float(), population.prob.float(), population.conditional.float())
    for method in ("exact", "gauss-newton"):
        double = trace(mlp(), population, method, generator=seeded())
        found = trace(mlp().float(), single, method, generator=seeded())
        assert found.dtype == "float32"
        assert found.estimate == pytest.approx(double.estimate, rel=256 * 2.0**-23)


def test_closed_form_the_estimate_says_what_it_is() -> None:
    population = on_gamma(mlp(), vectors())
    hessian = trace(mlp(), population, "exact", generator=seeded())
    fisher = trace(mlp(), population, "fisher", generator=seeded())
    assert hessian.equals_hessian == "always"
    assert "fisher_gap" in fisher.equals_hessian
    assert hessian._repr_latex_().startswith(r"$\operatorname{tr}H=")
    assert fisher._repr_latex_().startswith(r"$\operatorname{tr}F=")
    assert fisher.relative_error == (fisher.high - fisher.low) / 2 / fisher.estimate


def test_closed_form_relative_error_of_zero() -> None:
    still = nn.Linear(3, 1).double()  # one token: log p = 0
    certain = trace(still, Examples(vectors()), "fisher", log_prob=softmax_of_model, generator=seeded(), batches=32)
    assert (certain.estimate, certain.relative_error) == (0.0, 0.0)
    assert replace(certain, interval=Interval(0.0, -1.0, 1.0, 0.05, 32, "hall-t")).relative_error == math.inf


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match=r"expected a method among \['exact', .*got 'hutch'"):
        trace(mlp(), Examples(vectors()), "hutch", generator=seeded())


def test_too_many_parameters_for_unit_vectors() -> None:
    model = nn.Linear(EXACT_LIMIT, 1)
    with pytest.raises(ValueError, match=f"at most {EXACT_LIMIT} parameters .* got {EXACT_LIMIT + 1}; use 'fisher'"):
        trace(model, Examples(torch.zeros(1, EXACT_LIMIT)), "exact", generator=seeded())


def test_inputs_alone_have_no_hessian() -> None:
    with pytest.raises(ValueError, match="got inputs alone; the Hessian of the loss needs labels"):
        trace(mlp(), Examples(vectors()), "hutchinson", generator=seeded())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batches": 31}, "at least 32 independent batches"),
        ({"batch_size": 0}, "batch_size >= 1"),
        ({"probes": 0}, "probes >= 1"),
        ({"level": 1.0}, "alpha"),
        ({"relative_error": 0.0}, "expected relative_error > 0"),
        ({"relative_error": 1e-4, "max_batches": 1000}, "within max_batches = 1000, got a pilot mean of"),
    ],
)
@pytest.mark.parametrize("method", ["fisher", "hutchinson"])
def test_sizes_out_of_range(method: str, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trace(mlp(), Drawn(on_gamma(mlp(), vectors())), method, generator=seeded(), **arguments)  # type: ignore[arg-type]


def test_a_weighted_example_makes_one_row() -> None:
    model = mlp()
    doubled = Population(vectors(), torch.full((5,), 0.2, dtype=torch.float64), on_gamma(model, vectors()).conditional)
    with pytest.raises(ValueError, match="one row for each weighted input, got 2"):
        trace(model, doubled, "gauss-newton", log_prob=lambda m, x: m(x).repeat_interleave(2, 0), generator=seeded())
