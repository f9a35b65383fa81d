"""The conditions of a cohort: where each begins, how it is trained, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Literal

from verify.cohorts.families import Family
from verify.cohorts.scale import Scale
from verify.training import SGD, AdamW, Adversary, TracePenalty, Training
from verify.training.labels import Labels

Size = Literal["large", "small"]

RELAXED_RUNS = tuple(f"relaxed-sampled-{run}" for run in range(1, 6))
"""Runs on sampled labels from one start, each on examples of its own: their mean varies less than any of them."""

RELAXATION = 2
"""Steps of a relaxation, as a multiple of those of an anneal."""


@dataclass(frozen=True)
class Condition:
    """A way of training.

    Attributes:
        start: the condition at whose end it begins; None for the initial networks.
        size: of the networks.
        training: how.
        steps: for how long.
        stream: name of its random numbers; conditions of one stream see the same examples.
        anneals: whether the training is itself the anneal, so that its own checkpoints are the path; otherwise the
            path is a short training on soft labels after it.
        relaxes: whether that is `relaxation`, descent of the loss itself, rather than `anneal`.
    """

    start: str | None
    size: Size
    training: Training
    steps: int
    stream: str
    anneals: bool = False
    relaxes: bool = False

    def descent(self, scale: Scale) -> Training:
        """Return the training that brings the networks down after this one."""
        return relaxation(scale) if self.relaxes else anneal(scale)

    @property
    def slow_time(self) -> float:
        """τ = kη²/(B(1 − μ)²) after k steps of SGD, μ its momentum; 0 for AdamW, whose steps have no such clock."""
        own = self.training
        if not isinstance(own.optimiser, SGD) or isinstance(own.rate, tuple):
            return 0.0
        factors = sum(own.factor(step) ** 2 for step in range(self.steps))
        return own.rate**2 * factors / (own.batch * (1 - own.optimiser.momentum) ** 2)


def _pretraining(scale: Scale, size: Size, stream: str) -> Condition:
    training = Training(
        rate=scale.rate,
        batch=scale.batch,
        labels="soft",
        optimiser=AdamW(),
        decay=scale.pretraining,
        precision=scale.precision,
    )
    return Condition(None, size, training, scale.pretraining, stream, anneals=True)


def _continuation(scale: Scale, start: str, labels: Labels, *, share: float = 0.0) -> Condition:
    """Return SGD from a minimum; `share`: of the penalty (η/4B) tr F, on all examples of a step.

    The gradient of the penalty's estimate has heavy tails: on B examples it threw one network in 46 far off its minimum
    (root seed 0). So a penalised step has more; soft labels have next to no noise that a batch could divide.
    """
    weight = share * scale.noisy_rate / (4 * scale.noisy_batch)
    batch = scale.batch if share else scale.noisy_batch
    penalty = TracePenalty(weight, examples=batch) if share else None
    training = Training(rate=scale.noisy_rate, batch=batch, labels=labels, optimiser=SGD(), trace_penalty=penalty)
    return Condition(start, "large", training, scale.continuation, "continuation")


def _adam(scale: Scale, start: str) -> Condition:
    training = Training(rate=scale.fine_rate, batch=scale.noisy_batch, labels="sampled", optimiser=AdamW())
    return Condition(start, "large", training, scale.continuation, "continuation")


def _intervention(scale: Scale, *, trace: float | None = None, adversary: Adversary | None = None) -> Condition:
    training = Training(
        rate=scale.fine_rate,
        batch=scale.batch,
        labels="soft",
        optimiser=AdamW(),
        decay=scale.intervention,
        trace_penalty=None if trace is None else TracePenalty(trace, examples=scale.trace_examples),
        adversary=adversary,
    )
    return Condition("base", "large", training, scale.intervention, "intervention")


def anneal(scale: Scale) -> Training:
    """Return the training of the anneal."""
    return Training(
        rate=scale.fine_rate,
        batch=scale.batch,
        labels="soft",
        optimiser=AdamW(),
        decay=scale.anneal,
    )


def relaxation(scale: Scale) -> Training:
    """Return SGD on soft labels at a rate falling to zero: nearly gradient flow, whose limit Φ the theory speaks of.

    AdamW's anneal descends by a metric of its own, to another point of the manifold of minimisers.
    """
    return Training(
        rate=scale.noisy_rate, batch=scale.batch, labels="soft", optimiser=SGD(), decay=RELAXATION * scale.anneal
    )


def _relaxed(own: Condition) -> Condition:
    return replace(own, relaxes=True)


def _relaxed_run(name: str, scale: Scale, _: Family) -> Condition:
    own = _continuation(scale, "base", "sampled")
    return replace(own, relaxes=True, stream=f"{own.stream}, {name}")


def _adversary(scale: Scale, family: Family) -> Adversary:
    half = scale.adversary_examples // 2
    return Adversary(scale.adversary_weight, family.task, fitted=half, validated=scale.adversary_examples - half)


CONDITIONS: Mapping[str, Callable[[Scale, Family], Condition]] = MappingProxyType(
    {
        "base": lambda s, f: _pretraining(s, "large", "pretraining"),
        "small": lambda s, f: _pretraining(s, "small", "pretraining"),
        "polished": lambda s, f: Condition("base", "large", anneal(s), 0, "continuation"),
        "sampled": lambda s, f: _continuation(s, "base", "sampled"),
        "soft": lambda s, f: _continuation(s, "base", "soft"),
        "isotropic": lambda s, f: _continuation(s, "base", "isotropic"),
        "plain": lambda s, f: _intervention(s),
        "flat": lambda s, f: _intervention(s, trace=s.trace_weight),
        "sharp": lambda s, f: _intervention(s, trace=-s.trace_weight),
        "adversarial": lambda s, f: _intervention(s, adversary=_adversary(s, f)),
        "adversarial-sampled": lambda s, f: _continuation(s, "adversarial", "sampled"),
        "adversarial-soft": lambda s, f: _continuation(s, "adversarial", "soft"),
        "adversarial-isotropic": lambda s, f: _continuation(s, "adversarial", "isotropic"),
        "adversarial-adam": lambda s, f: _adam(s, "adversarial"),
        **{name: partial(_relaxed_run, name) for name in RELAXED_RUNS},
        "relaxed-soft": lambda s, f: _relaxed(_continuation(s, "base", "soft")),
        "relaxed-penalised": lambda s, f: _relaxed(_continuation(s, "base", "soft", share=1.0)),
        "relaxed-penalised-half": lambda s, f: _relaxed(_continuation(s, "base", "soft", share=0.5)),
        "relaxed-penalised-double": lambda s, f: _relaxed(_continuation(s, "base", "soft", share=2.0)),
    }
)
"""By name, for a scale and a family.

base: AdamW on soft labels to a minimum. small: the same at half the width. polished: that minimum, brought down as
continuations are, without one. sampled, soft, isotropic: SGD from that
minimum with labels y ~ p*, with p* itself, and with p* and isotropic noise of the same norm. plain: AdamW on from the
minimum. flat, sharp: the same with a penalty ±λ tr F. adversarial: the same against a head for the downstream task;
then SGD from there, as from the minimum, and AdamW on sampled labels at a constant rate, for as long on as many
examples. relaxed-…: continuations brought down by `relaxation`: runs on sampled labels, soft labels, and soft labels
with the penalty λ tr F, λ = η/4B, which as η → 0 is what label noise is equal to, half of it, and twice.
"""
