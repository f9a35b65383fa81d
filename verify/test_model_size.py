"""Compare networks of two widths at the same excess loss, their features projected to the same dimension."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts.cohort import Cohort
from verify.cohorts.comparison import Comparison, Contrast
from verify.cohorts.designs import contrast
from verify.cohorts.laboratory import trained
from verify.cohorts.verdicts import record, record_control
from verify.design import Design
from verify.downstream.baselines import random_projection
from verify.networks.network import Network
from verify.stored import stored
from verify.trial import Profile, Trial

CLAIM = "model-size"
GAIN = 0.045


def designs(profile: Profile) -> tuple[Design, ...]:
    """Return the design: 4.5 points, the smaller of the paper's figures for PCFG and HMM (second-hand)."""
    return (
        contrast(
            CLAIM,
            profile,
            prediction="twice the width adds 4.5 points of accuracy at the same excess loss and number of features",
            statistic="accuracy at width 2w − accuracy at width w, equal feature dimension",
            target=GAIN,
            delta=GAIN,
            spread=0.04,
            side="lower",
        ),
    )


def projected_accuracy(cohort: Cohort, network: Network) -> Float[Tensor, " member"]:
    """Return the accuracy on as many features as the small networks have: Gaussian random projections."""
    dimension = cohort.scale.width // 2 * network.length
    (seed, *_) = cohort.seeds("projection")
    features = random_projection(cohort.features(network), dimension, torch.Generator().manual_seed(seed))
    return cohort.exam.accuracy(features)


def test_model_size(trial: Trial) -> None:
    (design,) = trial.declare(designs(trial.profile))
    if trial.profile == "quick":
        trial.recall(stored(CLAIM))
        return
    for cohort in trained(trial, ["base", "small", "plain"]):
        arms = Comparison.of(cohort, ["base", "small"])
        raw = arms.gain("base", "small")
        large, small = (projected_accuracy(cohort, arms.points[name].network) for name in ("base", "small"))
        untrained = {size: projected_accuracy(cohort, network) for size, network in cohort.untrained.items()}
        record(
            trial,
            design,
            arms,
            Contrast(large - small, raw.systematic),
            **{
                "gain with all features": float(raw.values.mean()),
                "gain of untrained networks": float((untrained["large"] - untrained["small"]).mean()),
            },
        )
        same = Comparison.of(cohort, ["base", "plain"])
        before, after = (projected_accuracy(cohort, same.points[name].network) for name in ("base", "plain"))
        record_control(
            trial,
            "equal widths",
            "the second network is no larger than the first",
            design,
            same,
            Contrast(after - before, same.gain("plain", "base").systematic),
        )
        trial.advance()
