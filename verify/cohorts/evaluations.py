"""Further exams: a head with many labels, few labels on masked-position states, fine-tuning of the whole network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts.scale import ExamName
from verify.cohorts.transfer import Exam
from verify.downstream.features import every_masked_state, unmasked_states
from verify.downstream.fine_tune import FineTuning, fine_tune
from verify.networks.network import Network

MANY = 512
"""Labelled sentences of an exam with many labels."""

FINE_TUNING = FineTuning(steps=100, batch=32, learning_rate=1e-3, head_learning_rate=1e-2)
"""The recipe of fine-tuning: about six passes over the labelled sentences."""

Grade = Callable[[Exam, Network, Sequence[torch.Generator]], Float[Tensor, " member"]]
"""The accuracies of the members of a stack, given their exam, the network and a generator of each."""


@dataclass(frozen=True)
class FurtherExam:
    """An exam besides the few-label one.

    Attributes:
        grade: what is learnt from the labelled sentences, and how well.
        many: labelled sentences of its one large draw; None for the scale's draws of few.
    """

    grade: Grade
    many: int | None


def _many_labels(exam: Exam, network: Network, _: Sequence[torch.Generator]) -> Tensor:
    return exam.accuracy(unmasked_states(network, exam.inputs))


def _masked_states(exam: Exam, network: Network, _: Sequence[torch.Generator]) -> Tensor:
    return exam.accuracy(every_masked_state(network, exam.inputs))


def _fine_tuning(exam: Exam, network: Network, generators: Sequence[torch.Generator]) -> Tensor:
    classes = exam.one_hot.argmax(-1).double()
    found = fine_tune(
        network,
        exam.inputs[:, : exam.learnt],
        classes[:, : exam.learnt],
        exam.inputs[:, exam.learnt :],
        classes[:, exam.learnt :],
        [float(label) for label in range(exam.one_hot.shape[-1])],
        generators,
        settings=FINE_TUNING,
    )
    return found.accuracy.estimate


EXAMS: Mapping[ExamName, FurtherExam] = MappingProxyType(
    {
        "many labels": FurtherExam(_many_labels, MANY),
        "masked states": FurtherExam(_masked_states, None),
        "fine-tuning": FurtherExam(_fine_tuning, MANY),
    }
)
"""By name.

many labels: a ridge head on the unmasked states of 512 sentences. masked states: few labels as in the main exam, on the
states with each position masked in turn, which the masked loss trains. fine-tuning: network and head together on 512
sentences by `FINE_TUNING`.
"""
