"""How large a cohort is and how long its networks are trained: fixed before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from verify.cohorts.families import FAMILIES
from verify.environment import Profile
from verify.training.config import Precision

EvaluationName = Literal["many labels", "masked states", "fine-tuning"]
Recovery = Literal["adam"]
Converged = Literal["base", "polished"]


ALL_EVALUATIONS: tuple[EvaluationName, ...] = ("many labels", "masked states", "fine-tuning")


class ScaleError(ValueError):
    """A scale is asked for that is not to be had."""


@dataclass(frozen=True)
class Scale:
    """Sizes of a cohort.

    Attributes:
        name: of the scale, as evidence shows it.
        families: names of the families.
        members: replicates of each family: a random language and its networks.
        width: features of the networks; the small ones have half.
        layers: of the networks.
        heads: attention heads of the large transformers; the small ones have half.
        pretraining: steps of AdamW from the initial networks, the rate falling linearly to zero.
        batch: examples of a step of AdamW.
        rate: its first rate.
        continuation: steps of SGD that follow a minimum at a constant rate.
        noisy_batch: examples of a step of SGD.
        noisy_rate: its rate.
        intervention: steps of AdamW with a trace penalty or an adversary.
        fine_rate: rate of AdamW in interventions and on the anneal.
        anneal: steps of the anneal, soft labels at a rate falling linearly to zero.
        checkpoints: of an anneal, besides its beginning.
        trace_weight: λ of the penalty ±λ tr F.
        trace_examples: contexts that the penalty is estimated on.
        adversary_weight: λ of the adversary.
        adversary_examples: sentences of a step of the adversary, half of them to fit its head.
        reference: contexts on which excess is measured.
        probes: backward passes of an estimate of tr F.
        labels: labelled sentences of a head.
        draws: heads of each member.
        tested: sentences of the test set.
        evaluations: further evaluations, shown beside the verdicts without one of their own.
        further_recoveries: ways of training from the adversarial networks besides SGD, likewise.
        converged: the condition that continued training is compared with. Soft labels go on lowering the excess of a
            long continuation, so that there `base` has to be brought down as the others are, as `polished`.
        spread: standard deviations of replicates for planning, as a multiple of those of the small scale (pilots).
        initial_scale: factor on the initial weights: every matrix and encoding, while gains begin at 1 and biases at 0.
        precision: of the training of `base` and `small`; excess is always measured in float64.
    """

    name: str
    families: tuple[str, ...]
    members: int
    width: int
    layers: int
    heads: int
    pretraining: int
    batch: int = 24
    rate: float = 1e-2
    continuation: int = 400
    noisy_batch: int = 8
    noisy_rate: float = 0.1
    intervention: int = 150
    fine_rate: float = 3e-3
    anneal: int = 150
    checkpoints: int = 5
    trace_weight: float = 1e-3
    trace_examples: int = 8
    adversary_weight: float = 0.1
    adversary_examples: int = 32
    reference: int = 256
    probes: int = 8
    labels: int = 16
    draws: int = 16
    tested: int = 768
    evaluations: tuple[EvaluationName, ...] = ()
    further_recoveries: tuple[Recovery, ...] = ()
    converged: Converged = "base"
    spread: float = 1.0
    initial_scale: float = 1.0
    precision: Precision = "float32"


_SMALL = Scale("small", ("hmm", "pcfg"), members=46, width=16, layers=2, heads=2, pretraining=600)
_PAPER = Scale(
    "paper",
    ("hmm-paper", "pcfg-authors", "brackets", "text"),
    members=56,
    width=128,
    layers=4,
    heads=8,
    pretraining=20_000,
    batch=256,
    rate=1e-3,
    continuation=200_000,
    intervention=2_000,
    fine_rate=3e-4,
    anneal=4_000,
    trace_examples=64,
    adversary_examples=512,
    labels=64,
    reference=4096,
    evaluations=ALL_EVALUATIONS,
    further_recoveries=("adam",),
    converged="polished",
)

SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "small": _SMALL,
        "long": replace(
            _SMALL,
            name="long",
            members=152,
            continuation=20 * _SMALL.pretraining,
            anneal=1000,
            checkpoints=10,
            evaluations=ALL_EVALUATIONS,
            converged="polished",
            spread=1.8,
        ),
        "medium": Scale(
            "medium",
            ("hmm-medium", "hmm-lstm-medium", "pcfg-medium", "brackets-medium", "text-medium"),
            members=54,
            width=32,
            layers=2,
            heads=4,
            pretraining=2000,
            continuation=500,
            intervention=200,
            fine_rate=2e-3,
            anneal=200,
            adversary_examples=64,
            reference=1024,
            labels=64,
            draws=8,
            evaluations=ALL_EVALUATIONS,
            further_recoveries=("adam",),
        ),
        "paper": _PAPER,
        "large": replace(
            _PAPER,
            name="large",
            families=("hmm-paper", "pcfg-authors"),
            width=512,
            layers=6,
            rate=3e-4,
            fine_rate=1e-4,
            precision="bfloat16",
        ),
    }
)
"""By name. `small` trains in minutes on two cores, `medium` in most of an hour; `paper` and `large` need a GPU.

`long` is `small` with a continuation of 20 times the pretraining, for claims about what continued training does.
"""


def scale_of(profile: Profile, asked: str | None = None) -> Scale:
    """Return the scale of a run: the one that was asked for, or else paper at `full` and small below it.

    Args:
        asked: a name in `SCALES`, or a name and families in place of the scale's own, `medium:hmm-lstm-medium,authors`.

    Raises:
        ScaleError: there is no such scale or family, or a family is named twice.
    """
    name, colon, families = (asked or ("paper" if profile == "full" else "small")).partition(":")
    if name not in SCALES:
        raise ScaleError(f"expected a scale among {', '.join(SCALES)}, got {name!r}; NAME or NAME:FAMILY,… is a scale")
    if not colon:
        return SCALES[name]
    chosen = tuple(families.split(","))
    if not set(chosen) <= FAMILIES.keys() or len(set(chosen)) < len(chosen):
        raise ScaleError(f"expected different families among {', '.join(FAMILIES)}, got {families!r}; separate by ','")
    return replace(SCALES[name], families=chosen)
