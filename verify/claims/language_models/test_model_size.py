"""Compare networks of two widths at the same excess loss, their features projected to the same dimension."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts import (
    Bench,
    Comparison,
    Contrast,
    contrast,
    from_stored,
    mean,
    record,
    record_control,
    scale_of,
    trained,
)
from verify.cohorts.conditions import Size
from verify.downstream import random_projection
from verify.environment import Profile
from verify.networks import Network
from verify.trial import Design, Outlook, Trial

CLAIM = "model-size"
OUTLOOK = Outlook(
    finding="Twice the width adds 4.5 points of accuracy.",
    expected="inconclusive",
    figure="+6.9 points (grammar), +4.5 points (hidden Markov model), +2.0 points (samples of OPT); second-hand",
    would_change="An interval below 0.045 in one language refutes it, intervals above 0 that reach 0.045 in every "
    "language would support it, and more replicates would decide where it is open.",
)
GAIN = 0.045


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the design: 4.5 points, the smaller of the paper's figures for PCFG and HMM (second-hand)."""
    return (
        contrast(
            CLAIM,
            scale_of(profile, scale),
            prediction="twice the width adds 4.5 points of accuracy at the same excess loss and number of features",
            statistic="accuracy at width 2w − accuracy at width w, equal feature dimension",
            target=GAIN,
            delta=GAIN,
            spread=0.04,
            side="lower",
        ),
    )


def projected_accuracy(bench: Bench, network: Network) -> Float[Tensor, " member"]:
    """Return the accuracy on as many features as the small networks have: Gaussian random projections."""
    cohort = bench.cohort
    dimension = cohort.scale.width // 2 * network.length
    (seed, *_) = cohort.seeds("projection", again=True)  # one projection for every network
    features = random_projection(bench.features(network), dimension, torch.Generator().manual_seed(seed))
    return bench.evaluation.accuracy(features)


@dataclass(frozen=True)
class Widths:
    """Conditions of two widths and of one, with their accuracies at equal feature dimension."""

    different: Comparison
    equal: Comparison
    accuracy: dict[str, Tensor]
    untrained: dict[Size, Tensor]


def measure(bench: Bench) -> Widths:
    """Match `base` with `small`, and with `plain`, and project the features of all."""
    different = Comparison.of(bench, ["base", "small"], accuracy=["base", "small"])
    equal = Comparison.of(bench, ["base", "plain"], accuracy=["base", "plain"])
    networks = {
        "large": different.points["base"].network,
        "small": different.points["small"].network,
        "before": equal.points["base"].network,
        "after": equal.points["plain"].network,
    }
    return Widths(
        different,
        equal,
        {name: projected_accuracy(bench, network) for name, network in networks.items()},
        {size: projected_accuracy(bench, network) for size, network in bench.untrained.items()},
    )


def test_model_size(trial: Trial) -> None:
    (design,) = trial.declare(designs(trial.profile, trial.scale))
    if from_stored(trial):
        return
    for found in trained(trial, ["base", "small", "plain"], measure):
        raw = found.different.gain("base", "small")
        trained_gain = found.accuracy["large"] - found.accuracy["small"]
        untrained_gain = found.untrained["large"] - found.untrained["small"]
        record(
            trial,
            design,
            found.different,
            Contrast(trained_gain, raw.systematic),
            {
                "gain with all features": mean(raw.values),
                "gain of untrained networks": mean(untrained_gain),
                "gain beyond that of untrained networks": mean(trained_gain - untrained_gain),
            },
        )
        record_control(
            trial,
            "equal widths",
            "the second network is no larger than the first",
            design,
            found.equal,
            Contrast(found.accuracy["after"] - found.accuracy["before"], found.equal.gain("plain", "base").systematic),
        )
