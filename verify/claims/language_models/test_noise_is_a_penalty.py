"""Go on from one minimum on sampled labels, and on soft ones with a penalty on tr F; compare tr F and transfer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from theory.claims import find
from verify.cohorts import Bench, Comparison, Contrast, equivalence, mean, record, record_control, scale_of, trained
from verify.cohorts.conditions import RELAXED_RUNS
from verify.cohorts.plateau.spectrum import fisher_spectrum, systematic_sample
from verify.environment import Profile
from verify.trial import Design, Outlook, Trial
from verify.trial.stored import stored

CLAIM = "noise-is-a-penalty"
OUTLOOK = Outlook(
    finding="Label noise flattens as a penalty of η/4B on tr F does.",
    expected="inconclusive",
    figure="none known; the claim is ours",
    would_change="An interval for the ln-ratio of tr F, or for the difference of accuracies, that misses 0 in one "
    "language refutes it; one that contains 0 and is wider than the margin would leave it open.",
)
MARGIN = 0.06
"""A third of how far half the penalty is, 0.18 in pilots of either family; twice the penalty is farther."""
POINT = 0.015
PENALISED, HALF, DOUBLE = (f"relaxed-penalised{share}" for share in ("", "-half", "-double"))
STILL = "relaxed-soft"
COMPARED = [*RELAXED_RUNS, STILL, PENALISED, HALF, DOUBLE]
POINTS = 192
"""Contexts of a spectrum."""


def networks(scale: str | None) -> str:
    """Return the scale of a run: small networks whatever is asked for, of the families that are asked for with it."""
    return scale if scale is not None and scale.partition(":")[0] == "small" else "small"


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the designs: equal traces, to a third of what a factor of 2 does, and accuracies, to 0.015."""
    sizes = scale_of(profile, networks(scale))
    slow_time = sizes.continuation * sizes.noisy_rate**2 / sizes.noisy_batch
    return tuple(
        equivalence(
            CLAIM,
            sizes,
            prediction=f"sampled labels and a penalty of η/4B on soft ones {what}, at slow time τ = {slow_time:g}",
            statistic=statistic,
            target=0.0,
            delta=delta,
            spread=spread,
            systematic=systematic,
            because=(
                "A replicate is a random language of the family with a network of its own, independent of the others; "
                "its value is a difference of means over five runs on sampled labels and one with the penalty. "
                f"{margin} In pilots (root seeds 9001 to 9004, 6 or 8 replicates), and in a first design (root seed 0) "
                f"but for one replicate of each family, values scattered by {seen}. "
                f"Systematic: {left}"
            ),
            designs=2,
        )
        for what, statistic, delta, spread, systematic, margin, seen, left in (
            (
                "take tr F equally far, but for what the finite rate adds",
                "ln(tr F, sampled labels ÷ tr F, soft labels with penalty η/4B) − what the finite rate adds",
                *(MARGIN, 0.042, 0.005),
                "Less what the share of each direction predicts, in the mean −0.002 to −0.02 at this rate. Margin: a "
                "third of how far half the penalty is.",
                "0.02 to 0.06",
                "what the second half of the descent changed is allowed for as what more of it might change.",
            ),
            (
                "change transfer equally",
                "accuracy, sampled labels − accuracy, soft labels with penalty η/4B",
                *(POINT, 0.0095, 0.001),
                "Margin: less than the two points that other claims ask of flatness; more than noise gains here.",
                "0.003 to 0.011",
                "the slope of accuracy along an anneal times the mismatch of ln(excess) that is left.",
            ),
        )
    )


@dataclass(frozen=True, eq=False)
class Measured:
    """The runs of a cohort, at the ends of their descents.

    Attributes:
        comparison: of all conditions.
        halfway: the same, halfway down.
        predicted: ln(tr F, sampled ÷ penalised) that the finite rate makes, for every member.
    """

    comparison: Comparison
    halfway: Comparison
    predicted: Float[Tensor, " member"]

    @classmethod
    def of(cls, bench: Bench) -> Measured:
        """Measure the conditions, which are trained on first use."""
        paths = {name: bench.cohort.path(name) for name in COMPARED}
        last = bench.cohort.scale.checkpoints
        comparison, halfway = (
            Comparison(bench, {name: path.point(place) for name, path in paths.items()}) for place in (last, last // 2)
        )
        for name in COMPARED:
            comparison.accuracy(name), comparison.log_trace(name), halfway.log_trace(name)
        return cls(comparison, halfway, finite_rate(comparison))

    def traces(self, other: str) -> Contrast:
        """Return ln(tr F, sampled ÷ another), less what the finite rate predicts of sampled ÷ penalised.

        What the second half of the descent changed is allowed for as what more of it might change.
        """
        end, middle = (
            torch.stack([found.log_trace(run) for run in RELAXED_RUNS]).mean(0) - found.log_trace(other)
            for found in (self.comparison, self.halfway)
        )
        return Contrast(end - self.predicted, abs(float((end - middle).mean())))

    def gain(self, other: str) -> Contrast:
        """Return the accuracy of sampled labels minus that of another condition."""
        each = [self.comparison.gain(run, other) for run in RELAXED_RUNS]
        values = torch.stack([own.values for own in each]).mean(0)
        return Contrast(values, sum(own.systematic for own in each) / len(each))


def finite_rate(comparison: Comparison) -> Float[Tensor, " member"]:
    """Return ln(tr F, sampled ÷ penalised) from the share of the penalty that noise comes to along each direction.

    The share of the whole is the mean of the claim's `share` at h_i, weighted by how far h_i falls; eigenvalues before
    and after are paired by rank, and h_i is half their sum. An ln-share times the response of ln tr F to ln λ, taken
    between half and twice the penalty. The contexts are a systematic sample: Monte Carlo.
    """
    cohort = comparison.cohort
    condition = cohort.condition(PENALISED)
    formula = find(CLAIM).formula()
    share = sp.lambdify([own.symbol for own in formula.parameters], formula.expression, "numpy")
    found = []
    for member, table in enumerate(cohort.tables or ()):
        contexts = systematic_sample(table, POINTS, 0.5)
        first, last = (
            fisher_spectrum(comparison.points[name].network.member(member), contexts).numpy()
            for name in (STILL, PENALISED)
        )
        here = np.maximum((first + last) / 2, np.finfo(np.float32).eps)  # share is 0 ÷ 0 at h = 0
        fall = first - last
        found.append((share(condition.training.rate, here, condition.steps) * fall).sum() / fall.sum())
    response = (comparison.log_trace(DOUBLE) - comparison.log_trace(HALF)) / np.log(4)
    predicted: Tensor = response * torch.tensor(found).log()
    return predicted


def test_noise_is_a_penalty(trial: Trial) -> None:
    flattening, transfer = trial.declare(designs(trial.profile, trial.scale))
    if trial.profile != "full" and trial.scale is None:
        trial.use_stored(stored(CLAIM, "medium"))
        return
    for found in trained(trial, ["base", *COMPARED], Measured.of, networks(trial.scale)):
        comparison, predicted = found.comparison, found.predicted
        gap = comparison.cohort.reference.learnable_gap
        beside = {
            "what the finite rate adds": mean(predicted),
            "ln(tr F, sampled ÷ soft)": mean(found.traces(STILL).values + predicted),
            "ln(tr F, sampled ÷ penalised)": mean(found.traces(PENALISED).values + predicted),
            "excess share, sampled": mean(comparison.points[RELAXED_RUNS[0]].excess / gap),
            "excess share, penalised": mean(comparison.points[PENALISED].excess / gap),
        }
        record(trial, flattening, comparison, found.traces(PENALISED), beside)
        gains = {
            "accuracy, sampled − soft": mean(found.gain(STILL).values),
            "accuracy, penalised − soft": mean(comparison.gain(PENALISED, STILL).values),
        }
        record(trial, transfer, comparison, found.gain(PENALISED), gains)
        for name, other in (("half the penalty", HALF), ("twice the penalty", DOUBLE)):
            record_control(trial, name, "λ is not η/4B", flattening, comparison, found.traces(other))
        accuracy = torch.stack([comparison.accuracy(run) for run in RELAXED_RUNS]).mean(0)
        record_control(
            trial,
            "the largest class",
            "the other answers are of no network that was trained",
            transfer,
            comparison,
            Contrast(accuracy - comparison.bench.evaluation.chance, 0.0),
        )
