"""From a method's observations to an estimate: independent units, two stages for a wanted error, an interval."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature.data import Data, Labelled, Population
from verify.curvature.estimate import Measures, TraceEstimate
from verify.curvature.interval import MIN_UNITS, interval_of, units_needed
from verify.curvature.likelihood import Blocks, Likelihood, assign_blocks
from verify.statistics import Interval, enclosure
from verify.statistics.intervals import checked_alpha

Observe = Callable[[Likelihood, Labelled, int, torch.Generator], Tensor]
"""(likelihood, batch, probes, generator) ↦ estimates of the trace of each parameter tensor, (probe, tensor)."""

MAX_UNITS = 1_000_000
"""Batches, or probes of a population, above which a relative error is refused."""


@dataclass(frozen=True)
class Sampling:
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
        likelihood: the model.
        data: the examples.
        observe: the method.
        whole: take every context of a `Population`, so that units are probes.
    """

    likelihood: Likelihood
    data: Data
    observe: Observe
    whole: bool

    def observations(self, sampling: Sampling, units: int, generator: torch.Generator) -> Float[Tensor, "unit tensor"]:
        """Return fresh independent units: means over the probes of a batch, or probes of the whole population."""
        if self.whole:
            assert isinstance(self.data, Population)
            return self.observe(self.likelihood, self.data.whole(), units, generator)
        return torch.stack(
            [
                self.observe(
                    self.likelihood, self.data.draw(sampling.batch_size, generator), sampling.probes, generator
                ).mean(0)
                for _ in range(units)
            ]
        )


def estimate_trace(
    source: Source,
    sampling: Sampling,
    blocks: Blocks | None,
    generator: torch.Generator,
    *,
    method: str,
    measures: Measures,
) -> TraceEstimate:
    """Sample, in two stages where a relative error is asked for, and return the estimate of the whole and of blocks.

    Raises:
        ValueError: the relative error takes more than `sampling.max_units` units.
    """
    start = time.perf_counter()
    members = assign_blocks(list(source.likelihood.parameters), blocks)
    pilot, units = 0, sampling.units
    if sampling.relative_error is not None:
        first = source.observations(sampling, units, generator).sum(-1)
        pilot, units = units, units_needed(first.numpy(), sampling.relative_error, sampling.alpha)
        if units > sampling.max_units:
            raise ValueError(
                f"expected a relative error of {sampling.relative_error:g} within max_batches = {sampling.max_units}, "
                f"got a pilot mean of {float(first.mean()):.4g} and deviation {float(first.std()):.4g}, hence {units}; "
                "take larger batches, more probes, another method, or raise max_batches"
            )
    samples = source.observations(sampling, units, generator)
    if source.whole:
        assert isinstance(source.data, Population)
        sizes = {"batches": 1, "batch_size": source.data.size, "probes": units}
    else:
        sizes = {"batches": units, "batch_size": sampling.batch_size, "probes": sampling.probes}
    return _estimate(
        source.likelihood,
        lambda index: interval_of(samples[:, index].sum(-1), sampling.alpha),
        members,
        generator,
        start,
        method=method,
        measures=measures,
        pilot=pilot,
        **sizes,
    )


def finite_sum(
    likelihood: Likelihood,
    population: Population,
    compute: Callable[[Likelihood, Labelled], Tensor],
    blocks: Blocks | None,
    generator: torch.Generator,
    *,
    method: str,
    measures: Measures,
) -> TraceEstimate:
    """Return a trace that is a finite sum over the population, with an enclosure of its rounding.

    Rounding: a sum of n terms of about the same size errs by less than n ε of the sum of their absolute values, and
    the terms by as many ε as there are operations behind them; the half width is (P + n) ε Σ_tensors |trace|. It is
    an estimate of rounding, not a proof.
    """
    start = time.perf_counter()
    members = assign_blocks(list(likelihood.parameters), blocks)
    traces = compute(likelihood, population.whole())
    n = population.size
    epsilon = torch.finfo(next(iter(likelihood.parameters.values())).dtype).eps
    rounding = (likelihood.n_parameters + n) * epsilon * float(traces.abs().sum())
    return _estimate(
        likelihood,
        lambda index: enclosure(float(traces[index].sum()), rounding),
        members,
        generator,
        start,
        method=method,
        measures=measures,
        batches=1,
        batch_size=n,
        probes=0,
        pilot=0,
    )


def _estimate(
    likelihood: Likelihood,
    interval: Callable[[list[int]], Interval],
    members: dict[str, list[int]],
    generator: torch.Generator,
    start: float,
    *,
    method: str,
    measures: Measures,
    batches: int,
    batch_size: int,
    probes: int,
    pilot: int,
) -> TraceEstimate:
    """Return the estimate whose interval, for a sum over some parameter tensors, is a function of their indices."""
    first = next(iter(likelihood.parameters.values()))
    return TraceEstimate(
        interval(list(range(len(likelihood.parameters)))),
        {name: interval(index) for name, index in members.items()},
        measures,
        method,
        batches,
        batch_size,
        probes,
        pilot,
        time.perf_counter() - start,
        generator.initial_seed(),
        str(first.dtype).removeprefix("torch."),
        str(first.device),
    )
