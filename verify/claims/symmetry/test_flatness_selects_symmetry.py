"""Copy minimisers of exchangeable languages under all permutations, and compare trace and output with the theorem's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from theory.claims import find
from verify.environment import Profile
from verify.models import TwoLayerModel
from verify.models.exact import fisher_trace
from verify.models.two_layer import Activation
from verify.statistics import Interval, enclosure
from verify.trial import BUDGET, Design, Outlook, Trial

CLAIM = "flatness-selects-symmetry"
OUTLOOK = Outlook(
    finding="Among the flattest minimisers of an order-free language is one that does not see the order.",
)
INSTANCES: dict[Profile, int] = {"quick": 6, "default": 24, "full": 240}
ERROR = 1e-9
"""Bound of the rounding error of a ratio of traces, and of an output."""
DEGREE: dict[Activation, int] = {"relu": 1, "square": 2}


def designs(profile: Profile) -> tuple[Design, ...]:
    """Return the designs: the trace of the copies, and that they are a minimiser."""
    return tuple(
        Design(
            claim=CLAIM,
            prediction=prediction,
            statistic=statistic,
            bound="enclosure",
            spread=ERROR,
            instances=INSTANCES[profile],
            justification="Finite sums over at most 16 contexts and 768 neurons in float64: fewer than 1e5 roundings, "
            "so that 1e-9 leaves a factor of 50 for cancellation. How far the minimiser is from Γ, max |f − f*|, is "
            "measured and added: σ' changes by no larger part, and the copies' output is a mean of the minimiser's. ",
            target=target,
            delta=1e-6,
            delta_refute=1e-6,
            alpha=BUDGET.alpha(CLAIM, 2),
            power=0.99,
            n=1,
        )
        for prediction, statistic, target in (
            ("tr H of all permuted copies is N^{2s−1} tr H(θ)", "tr H(copies) ÷ (N^{2s−1} tr H(θ))", 1.0),
            ("all permuted copies together are a minimiser", "max |f_copies − f*|", 0.0),
        )
    )


@dataclass(frozen=True)
class Instance:
    """A law of contexts in {±1}^T and a target that depend on the sum of the tokens, and a random minimiser.

    The target is u(|Σz|) + b Σz with relu units and u + b (Σz)² with squares: what networks without biases can be.

    Attributes:
        seed: of all that is drawn.
        activation: of the units.
        length: T.
        skewed: whether the law depends on the order after all.
        slanted: whether the target does.
    """

    seed: int
    activation: Activation
    length: int
    skewed: bool = False
    slanted: bool = False

    @property
    def parameters(self) -> dict[str, float | int | str]:
        return {"seed": self.seed, "activation": self.activation, "T": self.length}

    @property
    def share(self) -> float:
        """The share s = 1/(k + 1)."""
        return 1 / (DEGREE[self.activation] + 1)

    def target(self, contexts: Float[Tensor, "context position"]) -> Float[Tensor, " context"]:
        generator = torch.Generator().manual_seed(self.seed)
        levels = torch.randn(self.length + 1, generator=generator, dtype=torch.float64)
        slope = torch.full((self.length,), 0.3, dtype=torch.float64)
        if self.slanted:
            slope = slope * torch.arange(1, self.length + 1)
        total = contexts @ slope
        if self.activation == "square":
            return levels[0] + total.square()
        return levels[contexts.sum(1).abs().long()] + total

    def minimiser(self) -> tuple[TwoLayerModel, Float[Tensor, " parameter"], Float[Tensor, " context"]]:
        """Return the model of 2^{T+1} units, a point of Γ with random weights and the least heads, and the target."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        contexts = torch.tensor(list(product((-1.0, 1.0), repeat=self.length)), dtype=torch.float64)
        law = torch.rand(self.length + 1, generator=generator, dtype=torch.float64)
        prob = law[((contexts.sum(1) + self.length) / 2).long()]
        if self.skewed:
            prob = prob * torch.rand(len(contexts), generator=generator, dtype=torch.float64)
        target, width = self.target(contexts), 2 * len(contexts)
        model = TwoLayerModel(
            "exchangeable",
            width=width,
            activation=self.activation,
            contexts=contexts,
            context_prob=prob / prob.sum(),
            prob_plus=torch.sigmoid(target),
        )
        w = torch.randn(width, self.length, generator=generator, dtype=torch.float64)
        units = contexts @ w.T
        response = units.relu() if self.activation == "relu" else units.square()
        heads = torch.linalg.lstsq(response, target[:, None], driver="gelsd").solution[:, 0]
        return model, model.join(heads, w), target

    def copies(
        self, model: TwoLayerModel, theta: Float[Tensor, " parameter"], missing: int = 0
    ) -> tuple[TwoLayerModel, Float[Tensor, " copied"]]:
        """Return the network of all permuted copies, some of them left out."""
        orders = list(permutations(range(self.length)))
        factor = float(len(orders)) ** -self.share
        a, w, _ = model.split(theta)
        kept = orders[missing:]
        wide = TwoLayerModel(
            "copies",
            width=len(kept) * model.width,
            activation=self.activation,
            contexts=model.contexts,
            context_prob=model.context_prob,
            prob_plus=model.conditional[:, 1],
        )
        return wide, wide.join(factor * a.repeat(len(kept)), factor * torch.cat([w[:, order] for order in kept]))

    def measure(self, missing: int = 0, share: float | None = None) -> tuple[Interval, Interval]:
        """Return both statistics; `share`: what the prediction is asked for instead."""
        model, theta, target = self.minimiser()
        wide, copied = self.copies(model, theta, missing)
        off = float((model.logit(theta, model.contexts) - target).abs().max())
        trace = find(CLAIM).predict(
            trace=float(fisher_trace(model, theta)), N=math.factorial(self.length), s=share or self.share
        )
        ratio = float(fisher_trace(wide, copied)) / trace
        apart = float((wide.logit(copied, model.contexts) - target).abs().max())
        return enclosure(ratio, ratio * (ERROR + 2 * off)), enclosure(apart, ERROR + off)


def draw(generator: np.random.Generator) -> Instance:
    """Draw units and a length of 3 or 4."""
    activation: Activation = "relu" if generator.integers(2) else "square"
    return Instance(int(generator.integers(2**31)), activation, int(generator.integers(3, 5)))


def test_copies_of_minimisers(trial: Trial) -> None:
    flat, minimal = trial.declare(designs(trial.profile))
    trial.plan(flat.instances)
    for number in range(flat.instances):
        instance = draw(trial.rng("instance", number))
        ratio, apart = instance.measure()
        trial.decide(flat, ratio, parameters=instance.parameters, prediction=1.0)
        trial.decide(minimal, apart, parameters=instance.parameters, prediction=0.0)
        trial.advance()
    seed = int(trial.rng("control").integers(2**31))
    skewed, slanted = (Instance(seed, "relu", 3, **{what: True}) for what in ("skewed", "slanted"))
    square, whole = Instance(seed, "square", 3), Instance(seed, "relu", 3)
    for name, broken, design, instance, found in (
        ("a law that sees the order", "contexts of one orbit differ in probability", flat, skewed, skewed.measure()),
        (
            "degree 1 in place of 2",
            "squares are asked to be as flat as relu units",
            *(flat, square, square.measure(share=0.5)),
        ),
        (
            "a target that sees the order",
            "f* is not invariant: the mean of the permuted outputs is another function",
            *(minimal, slanted, slanted.measure()),
        ),
        (
            "a copy is missing",
            "five of six permutations are no group",
            *(minimal, whole, whole.measure(missing=1)),
        ),
    ):
        measured = found[design is minimal]
        trial.control(name, broken, design, measured, parameters=instance.parameters)
