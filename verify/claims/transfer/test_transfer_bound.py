"""Measure that features which favour no pair of coordinates need order d² labels, and that the bound is tight."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from theory.claims import find
from verify.downstream import TransferResult, minimum_norm_head, transfer_experiment
from verify.environment import Profile
from verify.models import PairModel
from verify.trial import BUDGET, Design, Outlook, Trial

CLAIM = "transfer-bound"
OUTLOOK = Outlook(
    finding="Features that favour no pair need about as many labels as there are pairs.",
)
LARGEST_D = 7
WIDTH = 2000
DRAWS = 16
"""Draws of the features in a group."""
WRONG = 1.1
"""By so much C(d, 2) is overstated in a control."""
Features = Callable[[torch.Generator], Float[Tensor, "context feature"]]


@dataclass(frozen=True)
class Size:
    """Instances of each design and groups in each; heads for each draw of neurons, and in a group of all pairs."""

    instances: int
    groups: int
    heads: int
    tight_heads: int


SIZES: dict[Profile, Size] = {
    "quick": Size(1, 32, 16, 4096),
    "default": Size(3, 36, 32, 4096),
    "full": Size(12, 128, 64, 16384),
}


def designs(profile: Profile) -> tuple[Design, ...]:
    """Return the designs: the bound where it is nearly attained, and its equality for the kernel of all pairs."""
    size = SIZES[profile]
    alpha = BUDGET.alpha(CLAIM, 2)
    energy = math.sqrt(math.comb(LARGEST_D, 2)) / math.sqrt(size.tight_heads)
    return (
        Design(
            claim=CLAIM,
            prediction="wide Gaussian neurons: E[test MSE] ≥ 1 − n/C(d, 2)",
            target=1.0,
            delta=0.06,
            delta_refute=0.06,
            alpha=alpha,
            power=0.99,
            n=size.groups,
            instances=size.instances,
            statistic="E[1 − MSE] C(d,2)/n, wide Gaussian neurons",
            bound="student-t",
            spread=0.04,
            side="upper",
            justification="A replicate is the mean over 16 draws of 2000 centred squared Gaussian neurons, 16 or more "
            "heads each. These see pairs of coordinates only, and the more of them the more evenly, so that the bound "
            "is nearly attained: in trials on all d and n drawn here, with other seeds, the mean was 0.95 to 0.98, "
            "less than 1 by the contexts that repeat one before or its mirror image, and by 1 to 2% for the width. The "
            "spread was 0.11 or less from draw to draw with a skewness below 0.3, and 0.25 for heads of one draw: "
            "√(0.11²/16 + 0.25²/256) < 0.032. A bound with C(d, 2) overstated by a tenth is refuted.",
        ),
        Design(
            claim=CLAIM,
            prediction="features χ_S of all pairs: the captured share is exactly rank/C(d, 2)",
            target=1.0,
            delta=0.15,
            delta_refute=0.15,
            alpha=alpha,
            power=0.99,
            n=size.groups,
            instances=size.instances,
            statistic="(1 − MSE) C(d,2)/rank, all pairs as features",
            bound="student-t",
            spread=energy,
            justification="A replicate is the mean over 4096 or more heads of a number in [0, C(d, 2)] with mean 1, "
            "whose variance is below C(d, 2) ≤ 21, near normal. The least-norm head is the projection on the span "
            "of the kernel functions, and given the rank every pair has the same expected share of it.",
        ),
    )


@dataclass(frozen=True)
class Instance:
    """A dimension and a number of labels."""

    d: int
    n: int

    @cached_property
    def contexts(self) -> Float[Tensor, "context feature"]:
        return PairModel(self.d, 1, 1.0).contexts

    @property
    def parameters(self) -> dict[str, float | int | str]:
        return {"d": self.d, "n": self.n}

    @property
    def prediction(self) -> float:
        return find(CLAIM).predict(n=self.n, d=self.d)

    def gaussian(self, generator: torch.Generator) -> Float[Tensor, "context feature"]:
        """Squared Gaussian neurons less their mean: 2 Σ_{i<j} w_i w_j z_i z_j, a law that favours no pair."""
        w = torch.randn(WIDTH, self.d, generator=generator, dtype=torch.float64)
        return (self.contexts @ w.mT).square() - w.square().sum(-1)

    def flattest(self, generator: torch.Generator) -> Float[Tensor, "context feature"]:
        """Features of the flattest pair model, which know the pair {1, 2}; nothing is drawn."""
        del generator
        model = PairModel(self.d, 4, 1.0)
        _, w, _ = model.split(model.flattest())
        return (self.contexts @ w.mT).square()

    def pairs(self, favour: float = 1.0) -> Float[Tensor, "context pair"]:
        """All products of two coordinates, that of the pair {1, 2} multiplied by `favour`."""
        z = self.contexts
        products = torch.stack([z[:, i] * z[:, j] for i, j in itertools.combinations(range(self.d), 2)], dim=1)
        products[:, 0] *= favour
        return products


def draw(generator: np.random.Generator) -> Instance:
    """Draw d in 6…7 and n in 2…4: few enough labels for contexts to be seldom drawn twice."""
    return Instance(int(generator.integers(6, LARGEST_D + 1)), int(generator.integers(2, 5)))


def head(
    instance: Instance, hidden: Float[Tensor, "*net context feature"], n: int, heads: int, generator: torch.Generator
) -> TransferResult:
    """Train least-norm heads of z₁z₂ on n contexts each, `heads` of them for each net."""
    z = instance.contexts
    uniform = torch.full((len(z),), 1 / len(z), dtype=z.dtype)
    return transfer_experiment(hidden, z[:, 0] * z[:, 1], uniform, n, heads, generator)


def captured(
    trial: Trial, instance: Instance, features: Features, n: int, *path: str | int
) -> Float[np.ndarray, " group"]:
    """Mean captured share 1 − MSE over its bound n/C(d, 2), one value for each group of draws of the features.

    Args:
        trial: profile and streams.
        instance: the d and n that the bound counts.
        features: draws features.
        n: labels that the head is given.
        path: of the random stream.
    """
    size, generator = SIZES[trial.profile], trial.torch("wide neurons", *path)
    values = []
    for _ in range(size.groups):
        nets = torch.stack([features(generator) for _ in range(DRAWS)])
        values.append(1 - head(instance, nets, n, size.heads, generator).mse.mean())
    return torch.stack(values).numpy() * math.comb(instance.d, 2) / instance.n


def shares(trial: Trial, instance: Instance, favour: float, *path: str | int) -> Float[np.ndarray, " group"]:
    """Mean of the captured share × C(d, 2)/rank in each group."""
    size = SIZES[trial.profile]
    total = size.groups * size.tight_heads
    result = head(instance, instance.pairs(favour), instance.n, total, trial.torch("pairs", *path))
    share = (1 - result.mse) * math.comb(instance.d, 2) / result.rank
    return share.reshape(size.groups, -1).mean(1).numpy()


def test_bound(trial: Trial) -> None:
    bound, tight = trial.declare(designs(trial.profile))
    trial.plan(bound.instances + 1)
    for i in range(bound.instances):
        instance = draw(trial.rng("instance", i))
        for design, values in (
            (bound, captured(trial, instance, instance.gaussian, instance.n, i)),
            (tight, shares(trial, instance, 1.0, i)),
        ):
            trial.decide(design, values, parameters=instance.parameters, prediction=instance.prediction)
        trial.advance()

    instance = Instance(LARGEST_D - 1, 2)
    many = math.comb(instance.d, 2)
    for name, broken, design, values in (
        (
            "features of the flattest net",
            "their law is not invariant: they know the pair {1, 2}",
            bound,
            captured(trial, instance, instance.flattest, instance.n, "flattest"),
        ),
        (
            "labels that are not counted",
            f"the head is given {many} labels, the bound counts n",
            bound,
            captured(trial, instance, instance.gaussian, many, "many"),
        ),
        (
            "a constant too small by a tenth",
            "C(d, 2) is overstated in the bound by the smallest departure that counts",
            bound,
            WRONG * captured(trial, instance, instance.gaussian, instance.n, "wrong constant"),
        ),
        (
            "one pair is favoured",
            "the feature z₁z₂ is multiplied by 2",
            tight,
            shares(trial, instance, 2.0, "favoured"),
        ),
    ):
        trial.control(name, broken, design, values, parameters=instance.parameters, prediction=instance.prediction)


@given(
    seed=st.integers(0, 2**32 - 1), d=st.integers(2, 5), n=st.integers(1, 12), ridge=st.sampled_from([0.0, 0.1, 3.0])
)
def test_property_a_head_captures_no_more_than_its_rank(seed: int, d: int, n: int, ridge: float) -> None:
    """For any features and any labelled contexts, Σ_S ‖χ_S − prediction of χ_S‖² ≥ C(d, 2) − n."""
    generator = torch.Generator().manual_seed(seed)
    instance = Instance(d, n)
    z = instance.contexts
    hidden = torch.randn(len(z), 5, generator=generator, dtype=torch.float64)
    chosen = torch.randint(len(z), (n,), generator=generator)
    products = instance.pairs()
    if ridge:
        train = hidden[chosen]
        heads = torch.linalg.solve(train.mT @ train + ridge * torch.eye(5, dtype=z.dtype), train.mT @ products[chosen])
    else:
        heads = torch.stack([minimum_norm_head(hidden[chosen], labels) for labels in products[chosen].mT], dim=1)
    missed = (products - hidden @ heads).square().mean(0).sum()
    assert float(missed) >= math.comb(d, 2) - n - 1e-9 * float(1 + missed)


@given(d=st.integers(2, 40), n=st.integers(1, 400))
def test_property_more_labels_lower_the_bound_more_coordinates_raise_it(d: int, n: int) -> None:
    claim = find(CLAIM)
    value = claim.predict(n=n, d=d)
    assert claim.predict(n=n + 1, d=d) < value < claim.predict(n=n, d=d + 1) < 1
