"""From a method's observations to an estimate: units, the two stages, the interval, the parts of the variance."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature.data import Batch, Data, Population
from verify.curvature.estimate import Cost, Measures, TraceEstimate
from verify.curvature.interval import MIN_UNITS, as_units, interval_of, units_needed, variance_parts
from verify.curvature.problem import Blocks, Problem, assign_blocks
from verify.statistics.intervals import Interval, checked_alpha, enclosure

Observe = Callable[[Problem, Batch, int, torch.Generator], Tensor]
"""(problem, batch, probes, generator) ↦ estimates of the trace of each parameter tensor, (probe, tensor)."""

MAX_UNITS = 1_000_000
"""Batches, or probes of a population, above which a relative error is refused."""


@dataclass(frozen=True)
class Plan:
    """How much to sample.

    Attributes:
        batch_size: examples of a batch.
        probes: probes for each batch.
        units: independent units of the interval; where `relative_error` is given, of the pilot.
        relative_error: wanted half width over |trace|, or None.
        alpha: error probability of the interval.
        max_units: most units that a relative error may take.

    Raises:
        ValueError: a number is out of range.
    """

    batch_size: int
    probes: int
    units: int
    relative_error: float | None = None
    alpha: float = 0.05
    max_units: int = MAX_UNITS

    def __post_init__(self) -> None:
        checked_alpha(self.alpha)
        if self.batch_size < 1 or self.probes < 1:
            raise ValueError(f"expected batch_size >= 1 and probes >= 1, got {self.batch_size} and {self.probes}")
        if self.units < MIN_UNITS:
            raise ValueError(
                f"expected at least {MIN_UNITS} independent batches, below which no interval was seen to hold its "
                f"level, got {self.units}; take smaller batches and more of them"
            )


@dataclass(frozen=True)
class Source:
    """Where observations come from.

    Attributes:
        problem: the model.
        data: the examples.
        observe: the method.
        whole: take every context of a `Population`, so that units are probes and data have no variance.
    """

    problem: Problem
    data: Data
    observe: Observe
    whole: bool

    def observations(self, plan: Plan, units: int, generator: torch.Generator) -> Float[Tensor, "batch probe tensor"]:
        """Return `units` fresh independent units: batches with `plan.probes` probes, or one batch with that many."""
        if self.whole:
            assert isinstance(self.data, Population)
            return self.observe(self.problem, self.data.whole(), units, generator)[None]
        return torch.stack(
            [
                self.observe(self.problem, self.data.draw(plan.batch_size, generator), plan.probes, generator)
                for _ in range(units)
            ]
        )


def estimate_trace(
    source: Source,
    plan: Plan,
    blocks: Blocks | None,
    generator: torch.Generator,
    *,
    method: str,
    measures: Measures,
    passes: Callable[[int], float],
) -> TraceEstimate:
    """Sample, in two stages where a relative error is asked for, and return the estimate of the whole and of blocks.

    `passes` gives the gradient-equivalents of a number of probes on one example.

    Raises:
        ValueError: the relative error takes more than `plan.max_units` units.
    """
    start = time.perf_counter()
    members = assign_blocks(list(source.problem.parameters), blocks)
    pilot = 0
    units = plan.units
    if plan.relative_error is not None:
        first = as_units(source.observations(plan, units, generator).sum(-1))
        pilot, units = units, units_needed(first.numpy(), plan.relative_error, plan.alpha)
        if units > plan.max_units:
            raise ValueError(
                f"expected a relative error of {plan.relative_error:g} within max_batches = {plan.max_units}, got a "
                f"pilot mean of {float(first.mean()):.4g} and deviation {float(first.std()):.4g}, hence {units}; take "
                "larger batches, more probes, another method, or raise max_batches"
            )
    samples = source.observations(plan, units, generator)
    parts = variance_parts(samples.sum(-1))
    if source.whole:
        assert isinstance(source.data, Population)
        size, probes = source.data.size, units
        gradients = size * sum(passes(n) for n in (pilot, units) if n)
    else:
        size, probes = plan.batch_size, plan.probes
        gradients = size * (pilot + units) * passes(probes)
    first_parameter = next(iter(source.problem.parameters.values()))
    return TraceEstimate(
        interval_of(as_units(samples.sum(-1)), plan.alpha),
        {name: interval_of(as_units(samples[..., index].sum(-1)), plan.alpha) for name, index in members.items()},
        measures,
        method,
        parts[0] if parts else None,
        parts[1] if parts else None,
        len(samples),
        size,
        probes,
        pilot,
        Cost(gradients, time.perf_counter() - start),
        generator.initial_seed(),
        str(first_parameter.dtype).removeprefix("torch."),
        str(first_parameter.device),
    )


def finite_sum(
    problem: Problem,
    population: Population,
    compute: Callable[[Problem, Batch], Tensor],
    blocks: Blocks | None,
    generator: torch.Generator,
    *,
    method: str,
    measures: Measures,
    passes: float,
) -> TraceEstimate:
    """Return a trace that is a finite sum over the population, with an enclosure of its rounding.

    Rounding: a sum of n terms of about the same size errs by less than n ε of the sum of their absolute values, and
    the terms by as many ε as there are operations behind them; the half width is (P + n) ε Σ_tensors |trace|. It is
    an estimate of rounding, not a proof.
    """
    start = time.perf_counter()
    members = assign_blocks(list(problem.parameters), blocks)
    batch = population.whole()
    traces = compute(problem, batch)
    first_parameter = next(iter(problem.parameters.values()))
    n = population.size
    rounding = (problem.n_parameters + n) * torch.finfo(first_parameter.dtype).eps * float(traces.abs().sum())

    def interval(value: Tensor) -> Interval:
        return enclosure(float(value.sum()), rounding)

    return TraceEstimate(
        interval(traces),
        {name: interval(traces[index]) for name, index in members.items()},
        measures,
        method,
        0.0,
        0.0,
        1,
        n,
        0,
        0,
        Cost(n * passes, time.perf_counter() - start),
        generator.initial_seed(),
        str(first_parameter.dtype).removeprefix("torch."),
        str(first_parameter.device),
    )
