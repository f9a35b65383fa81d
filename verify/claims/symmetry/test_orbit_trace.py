"""Move transformers along the orbit of their symmetries, and compare the trace they then have with the closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from synthetic.hmm import block_hmm
from theory.claims import find
from verify.curvature import LanguageData, Population
from verify.curvature.orbit import Elements, Orbit, balanced, orbit
from verify.environment import Profile
from verify.networks import Transformer, TransformerConfig
from verify.networks.symmetries import moved
from verify.networks.transformer import Block
from verify.statistics import enclosure
from verify.training import Trainer, Training
from verify.trial import BUDGET, Design, Outlook, Trial

CLAIM = "orbit-trace"
OUTLOOK = Outlook(
    finding="How flat a network can be made without changing its function is known in closed form.",
)
TOKENS, LENGTH, WIDTH, HEADS = 4, 3, 6, 2
INSTANCES: dict[Profile, int] = {"quick": 2, "default": 6, "full": 48}
STEPS = 100
"""Of AdamW, in every other instance; the others are drawn at random."""
ERROR = 1e-7
"""Bound of the relative error of a ratio of two traces."""
CLOSE = 1e-5
"""Bound of the relative distance of the numerical search from its limit."""
SLOPE = 1e-6
"""Largest entry of the gradient of ln tr F at which the search stops."""


def designs(profile: Profile) -> tuple[Design, ...]:
    """Return the designs: the trace at any A and at the best one, and what a search finds that knows no formula."""
    rounding = (
        "Both sides are finite sums over all contexts and tokens in float64, of terms that are not negative. A "
        "gradient entry passes fewer than 1000 roundings, A has a condition number below 1000 (it is drawn so, and "
        "the best one comes from moments whose spectra span fewer than six decades), and is inverted once: "
        "1000 · 1000 · 2⁻⁵² < 1e-9; 1e-7 leaves a factor of 100 for cancellation. "
    )
    search = (
        "L-BFGS on log A from A = 1. tr F is geodesically convex in M = A Aᵀ, so no other minimum can stop it. It ends "
        f"at slopes g below {SLOPE:g}, and near the minimum is above it by g²/2h, h the curvature, which is that of "
        f"the smallest σ ÷ tr F: {CLOSE:g} is not exceeded unless h < 1e-7. "
    )
    declared = (
        (
            "tr F(A) = R + 2ν + Σ_i σ_i Σ_j (A_ij − (A⁻¹)_ji)² in all groups at once",
            "tr F at a random A ÷ (R + 2ν + excess)",
            *(rounding, ERROR, 1e-5),
        ),
        (
            "the balanced network has tr F = R + 2 Σ ‖S_u^{1/2} S_v^{1/2}‖_*",
            "tr F of the balanced network ÷ (R + 2ν)",
            *(rounding, ERROR, 1e-5),
        ),
        (
            "no A has a lower trace than R + 2ν, and some come as near as one likes",
            "lowest tr F that a search over A finds ÷ (R + 2ν)",
            *(search, CLOSE, 1e-4),
        ),
    )
    return tuple(
        Design(
            claim=CLAIM,
            prediction=prediction,
            statistic=statistic,
            bound="enclosure",
            spread=spread,
            instances=INSTANCES[profile],
            justification=justification,
            target=1.0,
            delta=delta,
            delta_refute=delta,
            alpha=BUDGET.alpha(CLAIM, len(declared)),
            power=0.99,
            n=1,
        )
        for prediction, statistic, justification, spread, delta in declared
    )


@dataclass(frozen=True)
class Instance:
    """A language, and a network drawn at random or trained on it."""

    seed: int
    activation: str
    steps: int

    @property
    def parameters(self) -> dict[str, float | int | str]:
        return {"seed": self.seed, "activation": self.activation, "steps": self.steps}

    def measured(self) -> tuple[Transformer, Population]:
        """Return the network, away from its initial point so that gains and biases matter, and all contexts."""
        generator = torch.Generator().manual_seed(self.seed)
        language = block_hmm(generator, 4, TOKENS, LENGTH, blocks=2)
        config = TransformerConfig(
            TOKENS, LENGTH, width=WIDTH, layers=2, heads=HEADS, mlp_ratio=1, activation=self.activation
        )
        model = Transformer(config, (), [generator], torch.float64)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        if self.steps:
            training = Training(rate=0.01, batch=32, labels="soft", decay=self.steps, precision="float64")
            trainer = Trainer(model, language, training, [self.seed])
            trainer.run(self.steps)
            trained = trainer.snapshot()
            assert isinstance(trained, Transformer)
            model = trained
        return model, LanguageData(language).population()


def at_random(own: Orbit, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw an A of every group, positive where it is a number, with a condition number below 1000."""
    drawn = {}
    for name, moments in own.moments.items():
        size = moments.shape[-1]
        left, right = (torch.randn(moments.shape[1:], generator=generator, dtype=torch.float64) for _ in range(2))
        scale = torch.randn(moments.shape[1:-1], generator=generator, dtype=torch.float64).clamp(-3, 3).exp()
        turned = torch.linalg.qr(left)[0] * scale.unsqueeze(-2) @ torch.linalg.qr(right)[0].mT
        drawn[name] = turned if size > 1 else scale.unsqueeze(-1)
    return drawn


def excess(own: Orbit, elements: Elements) -> float:
    """Return Σ σ_i Σ_j (A_ij − (A⁻¹)_ji)² of all groups, A counted from the balanced point."""
    total = 0.0
    for name, (first, _) in own.moments.items():
        back = torch.linalg.inv(own.elements[name])
        sigma = (back @ first @ back.mT).diagonal(dim1=-2, dim2=-1)
        element = back @ elements[name]
        total += float((sigma * (element - torch.linalg.inv(element).mT).square().sum(-1)).sum())
    return total


def searched(own: Orbit) -> float:
    """Return the lowest tr F that L-BFGS finds over A of all groups, from A = 1."""
    shapes = {name: moments.shape[1:] for name, moments in own.moments.items()}
    sizes = [shape.numel() for shape in shapes.values()]

    def log_trace(entries: np.ndarray) -> tuple[float, np.ndarray]:
        logs = torch.tensor(entries, requires_grad=True)
        parts = zip(shapes.items(), torch.split(logs, sizes), strict=True)
        value = own.at({name: torch.linalg.matrix_exp(part.reshape(shape)) for (name, shape), part in parts}).log()
        (slope,) = torch.autograd.grad(value, logs)
        return float(value.detach()), slope.numpy()

    options = {"gtol": SLOPE, "ftol": 0.0, "maxiter": 5000, "maxfun": 5000, "maxcor": 50}
    return math.exp(minimize(log_trace, np.zeros(sum(sizes)), jac=True, method="L-BFGS-B", options=options).fun)


class NormalisedBlock(Block):
    """A layer whose queries and keys are normalised, each head's by itself."""

    def _by_head(self, x: Tensor) -> Tensor:
        parts = super()._by_head(x)
        count = max(1, parts.shape[-3] - 1)  # values are last, and queries at one position come alone
        normal = torch.nn.functional.layer_norm(parts[..., :count, :, :], parts.shape[-1:])
        return torch.cat([normal, parts[..., count:, :, :]], -3)


def parts_of(own: Orbit) -> Mapping[str, float]:
    return {"rest": float(own.rest), "nuclear": float(own.nuclear)}


def test_orbit_trace(trial: Trial) -> None:
    anywhere, best, search = trial.declare(designs(trial.profile))
    trial.plan(anywhere.instances + 1)
    claim = find(CLAIM)
    for index in range(anywhere.instances):
        seed = int(trial.rng("instance", index).integers(2**31))
        instance = Instance(seed, ("gelu", "relu")[index // 2 % 2], STEPS * (index % 2))
        model, population = instance.measured()
        own = orbit(model, population)
        elements = at_random(own, torch.Generator().manual_seed(seed))
        least, there = claim.predict(**parts_of(own)), claim.predict("at", **parts_of(own), above=excess(own, elements))
        traces = (
            (anywhere, float(orbit(moved(model, elements), population).trace), there),
            (best, float(orbit(balanced(model, own), population).trace), least),
            (search, searched(own), least),
        )
        for design, found, predicted in traces:
            ratio = found / predicted
            interval = enclosure(ratio, float(design.spread or 0) * ratio)
            trial.decide(design, interval, parameters=instance.parameters, prediction=predicted)
        trial.advance()
    _controls(trial, best, search)


def _controls(trial: Trial, best: Design, search: Design) -> None:
    instance = Instance(int(trial.rng("control").integers(2**31)), "gelu", 0)
    model, population = instance.measured()
    own = orbit(model, population)
    sides = [moments.diagonal(dim1=-2, dim2=-1).sum(-1) for moments in own.moments.values()]
    scalar = sum(float((first * second).sqrt().sum()) for first, second in sides)
    wrong = find(CLAIM).predict(rest=float(own.rest), nuclear=scalar)
    trial.control(
        "one number for a head",
        "2√(PQ), the least over scales alone, in place of the nuclear norm",
        search,
        enclosure(searched(own) / wrong, CLOSE),
        parameters=instance.parameters,
        prediction=wrong,
    )
    for block in model.blocks:
        block.__class__ = NormalisedBlock
    own = orbit(model, population)
    least = find(CLAIM).predict(**parts_of(own))
    trial.control(
        "queries and keys are normalised",
        "log p is no function of Q Kᵀ: the moved network is another function",
        best,
        enclosure(float(orbit(balanced(model, own), population).trace) / least, ERROR),
        parameters=instance.parameters,
        prediction=least,
    )
    trial.advance()


positive = st.floats(0.1, 10)


@given(first=positive, second=positive, turn=st.floats(-3, 3), scale=st.floats(0.3, 3))
def test_property_no_matrix_goes_below_the_least_trace_and_balance_attains_it(
    first: float, second: float, turn: float, scale: float
) -> None:
    """Moments diag(first, second) and a turned one: 2ν is below the trace at a random A, and reached."""
    rotation = torch.linalg.matrix_exp(torch.tensor([[0.0, -turn], [turn, 0.0]], dtype=torch.float64))
    diagonal = torch.tensor([first, second], dtype=torch.float64).diag()
    moments = {"queries": torch.stack([diagonal, scale * rotation @ diagonal @ rotation.mT]).unsqueeze(1)}
    own = Orbit(torch.stack([diagonal, scale * diagonal]).diagonal(dim1=-2, dim2=-1).sum(), moments)
    slack = 1e-10 * (1 + float(own.trace))
    element = {"queries": scale * rotation @ torch.tensor([[1.0, turn], [0.0, 2.0]], dtype=torch.float64)[None]}
    assert float(own.at(element)) >= float(own.least) - slack
    assert abs(float(own.at(own.elements)) - float(own.least)) <= slack
