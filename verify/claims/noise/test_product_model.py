"""Measure the exponential law of the product model: Δ(τ)/Δ(0) = e^{−σ'(α)τ} as η → 0."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float

from verify.ensembles import Gradient, Sgd
from verify.ensembles.on_trial import ensemble
from verify.environment import Profile
from verify.models import ProductModel
from verify.statistics import richardson
from verify.trial import BUDGET, Design, Outlook, Trial

CLAIM = "product-model"
OUTLOOK = Outlook(
    finding="SGD makes the two factors of the simplest model equal, exponentially fast.",
)
RATES = (0.2, 0.1, 0.05, 0.025)
TERMS = 2
"""Powers of η removed by the extrapolation: η and η², a least-squares fit to four rates."""


@dataclass(frozen=True)
class Size:
    """Number of instances, of groups in each, and of replicas in a group."""

    instances: int
    groups: int
    replicas: int


SIZES: dict[Profile, Size] = {
    "quick": Size(1, 32, 256),
    "default": Size(4, 32, 256),
    "full": Size(12, 64, 1024),
}


def designs(profile: Profile) -> tuple[Design, ...]:
    """Return the one design of this claim."""
    size = SIZES[profile]
    return (
        Design(
            claim=CLAIM,
            prediction="the mean imbalance decays as e^{−σ'(α)τ}",
            target=1.0,
            delta=0.03,
            delta_refute=0.04,
            alpha=BUDGET.alpha(CLAIM),
            power=0.99,
            n=size.groups,
            instances=size.instances,
            statistic="mean of Δ(τ)/Δ(0) ÷ e^{−σ'τ}, at η → 0",
            bound="student-t",
            spread=0.14 / math.sqrt(size.replicas),
            systematic=0.005,
            justification=(
                "A replicate is the mean over a group of 256 or more independent replicas, near normal. One replica's "
                "ratio is the product of 1 − η²g² over k = τB/η² steps; its logarithm has variance τη² Var(g²) B at "
                "most (1 − 2p)² η² ≤ (0.64 η)² for σ'τ ≤ 1 and |α| ≤ 1.5. The fixed weights of the extrapolation turn "
                "0.64 η, even if fully correlated over the rates, into 0.107; 0.14 leaves room for the residual off Γ. "
                "The planned systematic error is a cubic remainder (ηh)³ with ηh ≤ 0.16."
            ),
        ),
    )


@dataclass(frozen=True)
class Instance:
    """A randomly drawn target, start on Γ, batch size and slow time."""

    alpha: float
    u: float
    batch_size: int
    tau: float

    @property
    def start(self) -> Float[torch.Tensor, " parameter"]:
        """The start (u, α/u) on Γ."""
        return torch.tensor([self.u, self.alpha / self.u], dtype=torch.float64)

    @property
    def parameters(self) -> dict[str, float | int | str]:
        return {"alpha": self.alpha, "u": self.u, "B": self.batch_size, "tau": self.tau}


def draw(generator: np.random.Generator) -> Instance:
    """Draw 0.5 ≤ |α| ≤ 1.5, an unbalanced start on Γ, B in {1, 2} and σ'(α)τ in [0.4, 1]."""
    alpha = float(generator.choice([-1.0, 1.0]) * generator.uniform(0.5, 1.5))
    u = float(math.sqrt(abs(alpha)) * generator.uniform(1.3, 1.8))
    slope = 1 / (2 + math.exp(alpha) + math.exp(-alpha))
    return Instance(alpha, u, int(generator.choice([1, 2])), float(generator.uniform(0.4, 1.0) / slope))


def measure(
    trial: Trial, instance: Instance, sgd: Sgd, *path: str | int, labels: ProductModel | None = None
) -> tuple[Float[np.ndarray, " group"], float]:
    """Return Δ(τ)/Δ(0) at η → 0 over its prediction, one value for each group, and the extrapolation remainder."""
    size = SIZES[trial.profile]
    start = instance.start.expand(size.groups * size.replicas, 2)
    columns: list[torch.Tensor] = []
    for rate in RATES:
        final = ensemble(
            trial,
            ProductModel(instance.alpha),
            start,
            replace(sgd, learning_rate=rate),
            round(instance.tau * instance.batch_size / rate**2),
            *path,
            again=bool(columns),  # the rates share their random numbers
            label_conditional=None if labels is None else labels.conditional,
        )
        ratio = (final[:, 0] ** 2 - final[:, 1] ** 2) / (start[:, 0] ** 2 - start[:, 1] ** 2)
        columns.append(ratio.reshape(size.groups, size.replicas).mean(1))
    predicted = trial.claim.predict(alpha=instance.alpha, tau=instance.tau)
    limit = richardson(np.array(RATES), torch.stack(columns, 1).numpy() / predicted, terms=TERMS)
    return limit.limits, limit.remainder


def noiseless_ratio(trial: Trial, instance: Instance, sgd: Sgd, *path: str | int) -> float:
    """Return Δ(τ)/Δ(0) over its prediction for a run without noise, at the largest rate; it has no sampling error."""
    start = instance.start.expand(1, 2)
    steps = round(instance.tau / RATES[0] ** 2)
    final = ensemble(trial, ProductModel(instance.alpha), start, replace(sgd, learning_rate=RATES[0]), steps, *path)
    ratio = (final[0, 0] ** 2 - final[0, 1] ** 2) / (start[0, 0] ** 2 - start[0, 1] ** 2)
    return float(ratio) / trial.claim.predict(alpha=instance.alpha, tau=instance.tau)


def test_exponential_law(trial: Trial) -> None:
    (design,) = trial.declare(designs(trial.profile))
    trial.plan(len(RATES) * (design.instances + 2) + 2)
    for i in range(design.instances):
        instance = draw(trial.rng("instance", i))
        sgd = Sgd(learning_rate=RATES[0], batch_size=instance.batch_size)
        values, remainder = measure(trial, instance, sgd, "replicas", i)
        prediction = trial.claim.predict(alpha=instance.alpha, tau=instance.tau)
        trial.decide(design, values, parameters=instance.parameters, prediction=prediction, systematic=remainder)

    instance = replace(draw(trial.rng("control")), batch_size=1)
    sgd = Sgd(learning_rate=RATES[0])
    noiseless: tuple[tuple[str, str, Gradient], ...] = (
        ("full-batch descent", "the gradient has no noise", "full"),
        ("soft labels", "the target is p* itself: no label noise on Γ", "soft"),
    )
    for name, broken, gradient in noiseless:
        value = noiseless_ratio(trial, instance, replace(sgd, gradient=gradient), "control", name)
        trial.control(name, broken, design, value, parameters=instance.parameters)
    noisy = (
        ("slow time not rescaled", "τ = kη²/B is for momentum 0; here β = ½", replace(sgd, momentum=0.5), None),
        ("labels of another target", "labels from logit 0: the run leaves Γ", sgd, ProductModel(0.0)),
    )
    for name, broken, options, labels in noisy:
        values, remainder = measure(trial, instance, options, "control", name, labels=labels)
        trial.control(name, broken, design, values, parameters=instance.parameters, systematic=remainder)


coordinate = st.floats(-4, 4, allow_subnormal=False)


@given(u=coordinate, v=coordinate, residual=st.floats(-1, 1, allow_subnormal=False), eta=st.floats(1e-4, 1))
def test_property_recursion_is_exact_off_the_manifold(u: float, v: float, residual: float, eta: float) -> None:
    after = (u - eta * residual * v) ** 2 - (v - eta * residual * u) ** 2
    predicted = (u**2 - v**2) * (1 - eta**2 * residual**2)
    # Each of the squares is at most (|u| + |v|)² and carries a few roundings.
    assert abs(after - predicted) <= 16 * np.finfo(float).eps * (abs(u) + abs(v)) ** 2
