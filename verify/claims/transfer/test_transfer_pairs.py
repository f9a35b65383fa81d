"""Measure how often a head on the flattest pair model is exact: 1 − 2^{1−n} with n labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from theory.claims import find
from verify.downstream import minimum_norm_head, transfer_experiment
from verify.environment import Profile
from verify.minimisers import minimise_trace, random_minimiser
from verify.models import PairModel
from verify.trial import BUDGET, Design, Outlook, Trial

CLAIM = "transfer-pairs"
OUTLOOK = Outlook(
    finding="On the flattest features a handful of labels solves the downstream task.",
)
LABELS = (2, 3, 4)
"""Numbers of labels on trial, one design each."""
STARTS = 16
RANK_TOLERANCE = 1e-4
"""Singular values of the features below this fraction count as 0: the search leaves 1e-8 or less on other features."""


@dataclass(frozen=True)
class Size:
    """Instances of each design, and heads of each instance."""

    instances: int
    heads: int


SIZES: dict[Profile, Size] = {
    "quick": Size(1, 20_000),
    "default": Size(3, 40_000),
    "full": Size(12, 200_000),
}


def designs(profile: Profile) -> tuple[Design, ...]:
    """Return one design for each number of labels."""
    size = SIZES[profile]
    return tuple(
        Design(
            claim=CLAIM,
            prediction=f"a head on n = {count} labels is exact with probability 1 − 2^(1 − n)",
            target=find(CLAIM).predict(n=count),
            delta=0.03,
            delta_refute=0.03,
            alpha=BUDGET.alpha(CLAIM, len(LABELS)),
            power=0.99,
            n=size.heads,
            instances=size.instances,
            statistic=f"Pr(head exact), n = {count} labels",
            bound="binomial",
            justification="Probes are trained on independent sets of contexts; each is either exact on all contexts "
            "or not, decided by enumeration: an exact binomial count. The features are those of the least tr H that a "
            "search over Γ from 16 random minimisers finds, so that they are measured and not written down.",
        )
        for count in LABELS
    )


@dataclass(frozen=True)
class Instance:
    """A pair language and a width."""

    d: int
    m: int
    alpha: float

    @property
    def model(self) -> PairModel:
        return PairModel(self.d, self.m, self.alpha)

    @property
    def parameters(self) -> dict[str, float | int | str]:
        return {"d": self.d, "m": self.m, "alpha": self.alpha}


def draw(generator: np.random.Generator) -> Instance:
    """Draw d in 3…5, m in d…6, and 0.5 ≤ |α| ≤ 2 of random sign."""
    d = int(generator.integers(3, 6))
    alpha = float(generator.choice([-1.0, 1.0]) * generator.uniform(0.5, 2.0))
    return Instance(d, int(generator.integers(d, 7)), alpha)


def random_points(instance: Instance, count: int, generator: torch.Generator) -> Float[Tensor, "start parameter"]:
    """Gaussian minimisers, of the scale at which f has the size of its target."""
    scale = (abs(instance.alpha) / 2.5) ** (1 / 3)
    return random_minimiser(instance.model, generator, count, scale=scale, max_rejections=count + 100).theta


def features(instance: Instance, theta: Float[Tensor, " parameter"]) -> Float[Tensor, "context unit"]:
    """Hidden activations (w_j·z)² of every context."""
    _, w, _ = instance.model.split(theta)
    return (instance.model.contexts @ w.mT).square()


def exact(
    trial: Trial, instance: Instance, hidden: Float[Tensor, "context unit"], count: int, *path: str | int
) -> Float[np.ndarray, " head"]:
    """Whether each head on `count` labels is exact, as zeros and ones."""
    z = instance.model.contexts
    result = transfer_experiment(
        hidden,
        z[:, 0] * z[:, 1],
        instance.model.context_prob,
        count,
        SIZES[trial.profile].heads,
        trial.torch("contexts", *path),
        rank_tolerance=RANK_TOLERANCE,
    )
    return result.exact.double().numpy()


def test_transfer(trial: Trial) -> None:
    chosen = trial.declare(designs(trial.profile))
    instances = chosen[0].instances
    trial.plan(instances)
    for i in range(instances):
        instance = draw(trial.rng("instance", i))
        points = random_points(instance, STARTS, trial.torch("starts", i))
        flattest = features(instance, minimise_trace(instance.model, points).theta)
        for design, count in zip(chosen, LABELS, strict=True):
            trial.decide(
                design,
                exact(trial, instance, flattest, count, i, count),
                parameters={**instance.parameters, "n": count},
                prediction=trial.claim.predict(n=count),
            )
        trial.advance()

    gaussian = features(instance, points[0])
    for design, count in zip(chosen, LABELS, strict=True):
        for name, broken, hidden, used in (
            (f"Gaussian minimum, n = {count}", "a random minimum of the same loss, not the flattest", gaussian, count),
            (f"one label fewer than n = {count}", "the head is given n − 1 labels", flattest, count - 1),
        ):
            measured = exact(trial, instance, hidden, used, "control", name)
            trial.control(name, broken, design, measured, parameters={**instance.parameters, "n": used})


@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 6), m=st.integers(2, 9), n=st.integers(1, 6))
def test_property_a_head_is_exact_iff_it_saw_both_classes(seed: int, d: int, m: int, n: int) -> None:
    instance = Instance(d, m, 1.0)
    hidden, z = features(instance, instance.model.flattest()), instance.model.contexts
    labels = z[:, 0] * z[:, 1]
    chosen = torch.randint(len(z), (n,), generator=torch.Generator().manual_seed(seed))
    prediction = hidden @ minimum_norm_head(hidden[chosen], labels[chosen])
    seen = torch.isin(labels, labels[chosen])
    # Values are exactly 0 or ±1; the pseudo-inverse of at most 6 × 9 numbers loses far less than half of the digits.
    torch.testing.assert_close(prediction, torch.where(seen, labels, 0.0), rtol=0, atol=1e-8)


@given(n=st.integers(1, 60))
def test_property_accuracy_is_what_exactness_leaves(n: int) -> None:
    claim = find(CLAIM)
    both = claim.predict(n=n)
    assert claim.predict("accuracy", n=n) == both + (1 - both) / 2
