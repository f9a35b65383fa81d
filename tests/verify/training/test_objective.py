"""All terms of the objective: each by finite differences with its sign, each on random numbers of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from synthetic.closed_form import BracketLanguage
from tests.verify.training.examples import central_difference, stream
from verify.networks import Transformer, TransformerConfig
from verify.training import Adversary, ConfigurationError, FlatParameters, TracePenalty, Training, context_table
from verify.training import objective as objectives
from verify.training.objective import Objective

LANGUAGE = BracketLanguage(4, 1.5)
TABLE = context_table(LANGUAGE)
TASK = sorted(LANGUAGE.downstream)[0]
SEEDS = [3, 4]
PLAIN = Training(0.1, 6, precision="float64", prefetch=2)
PENALTY, ADVERSARY = TracePenalty(-0.3, examples=4), Adversary(0.5, TASK, 6, 7, ridge=0.1)
ROUNDINGS = 1e4


def objective(**terms: Any) -> Objective:
    shape = TransformerConfig(LANGUAGE.n_tokens, LANGUAGE.length, width=4, layers=1, heads=2, mlp_ratio=1)
    network = Transformer(shape, (2,), [stream(seed) for seed in SEEDS])
    config = replace(PLAIN, **terms)
    dtype = objectives.DTYPES[config.precision]
    return Objective(FlatParameters(network, dtype, "cpu"), LANGUAGE, TABLE, config, SEEDS)


def validation(found: Objective) -> Tensor:
    assert found._downstream is not None
    return found.validation(ADVERSARY, *found._downstream.next())


def slope_of_term(found: Objective, value: Any, direction: Tensor, member: int) -> tuple[float, float]:
    """The slope of a term of one member along a direction, by finite differences on the same random numbers."""
    start, state = found.parameters.theta.clone(), found.state()

    def along(t: float) -> float:
        found.restore(*state)
        found.parameters.theta.copy_(start + t * direction)
        return float(value()[member].detach())

    slope = central_difference(along, 1e-4, ROUNDINGS)
    found.parameters.theta.copy_(start)
    found.restore(*state)
    return slope


@pytest.mark.parametrize("labels", ["sampled", "soft"])
def test_finite_difference_of_the_masked_loss(labels: str) -> None:
    found = objective(labels=labels)
    direction = torch.randn(found.parameters.theta.shape, generator=stream(0), dtype=torch.float64)
    for member in range(2):
        estimate, error = slope_of_term(found, lambda: found()[0], direction, member)
        state = found.state()
        _, gradient = found()
        found.restore(*state)
        slope = float(gradient[member] @ direction[member])
        assert error < 1e-4 * abs(slope)
        assert abs(estimate - slope) <= error


@pytest.mark.parametrize("term", ["trace_penalty", "adversary"])
def test_finite_difference_of_a_term_and_its_sign(term: str) -> None:
    """The mutant is the same term with the other sign."""
    found = objective(trace_penalty=PENALTY) if term == "trace_penalty" else objective(adversary=ADVERSARY)
    contexts = found._examples.next().contexts
    found.restore(*objective(trace_penalty=PENALTY, adversary=ADVERSARY).state())
    weight = -0.3 if term == "trace_penalty" else -0.5
    direction = torch.randn(found.parameters.theta.shape, generator=stream(1), dtype=torch.float64)

    def value() -> Tensor:
        return found.trace(PENALTY, contexts) if term == "trace_penalty" else validation(found)

    slopes = [slope_of_term(found, value, direction, member) for member in range(2)]
    loss, gradient = found()
    plain_loss, plain_gradient = objective()()
    # The graphs of a penalty are differentiated twice and made of other kernels: equal to rounding only.
    torch.testing.assert_close(loss, plain_loss, rtol=1e-12, atol=0)
    for member, (estimate, error) in enumerate(slopes):
        slope = float((gradient - plain_gradient)[member] @ direction[member])
        assert error < 1e-3 * abs(estimate)
        assert abs(weight * estimate - slope) <= abs(weight) * error
        assert abs(-weight * estimate - slope) > 100 * abs(weight) * error


def test_closed_form_a_cap_stops_the_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bool((validation(objective(adversary=ADVERSARY)) > 1e-3).all())
    monkeypatch.setattr(objectives, "CAP", 1e-3)
    capped = objective(adversary=ADVERSARY)
    assert torch.equal(validation(capped), torch.full((2,), 1e-3, dtype=torch.float64))
    assert torch.equal(capped()[1], objective()()[1])


def test_property_terms_leave_the_random_numbers_of_the_others_alone() -> None:
    first, second = objective(), objective(labels="isotropic", trace_penalty=PENALTY, adversary=ADVERSARY)
    for _ in range(3):
        first()
        second()
    assert torch.equal(first._examples.next().contexts, second._examples.next().contexts)
    signs, noise = (objective(trace_penalty=PENALTY), objective(labels="isotropic", trace_penalty=PENALTY))
    contexts = TABLE.contexts[:4].expand(2, 4, 4)
    signs()
    noise()
    assert torch.equal(signs.trace(PENALTY, contexts), noise.trace(PENALTY, contexts))


def test_property_each_purpose_has_a_stream_of_its_own() -> None:
    """Equal states would give equal numbers: the signs would be made of what the noise is made of."""
    states, _ = objective(adversary=ADVERSARY).state()
    rows = [bytes(row.tolist()) for members in states.values() for row in members]
    assert len(set(rows)) == len(rows) == 4 * len(SEEDS)


def test_property_bfloat16_is_for_products_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU in the place of a CUDA device: parameters and gradients stay float32, and err by bfloat16's rounding."""
    monkeypatch.setattr(objectives, "require_precision", lambda *_: None)
    monkeypatch.setattr(torch, "autocast", partial(_autocast_on_cpu, torch.autocast))
    for terms in ({}, {"adversary": ADVERSARY}):
        exact, rough = (objective(precision=precision, **terms) for precision in ("float32", "bfloat16"))
        (loss, gradient), (near_loss, near_gradient) = exact(), rough()
        assert near_gradient.dtype == near_loss.dtype == torch.float32
        assert not torch.equal(near_gradient, gradient)
        # Some ten products in a row, and their two backward, round their factors to 2⁻⁹.
        assert bool(((near_loss - loss).abs() <= 10 * 2.0**-8 * (1 + loss)).all())
        assert float((near_gradient - gradient).norm()) <= 30 * 2.0**-8 * float(1 + gradient.norm())


def _autocast_on_cpu(autocast: Any, device: str, dtype: torch.dtype) -> Any:
    assert device == "cuda"
    return autocast("cpu", dtype)


def test_a_task_that_the_language_lacks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=f"got 'other'; it has .*{TASK}"):
        objective(adversary=replace(ADVERSARY, task="other"))
