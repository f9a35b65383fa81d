"""Further evaluations: a head with many labels, few labels on masked-position states, fine-tuning of the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts.scale import EvaluationName
from verify.cohorts.transfer import Evaluation
from verify.downstream.features import every_masked_state, unmasked_states
from verify.downstream.fine_tune import FineTuning, fine_tune
from verify.networks.network import Network

MANY = 512
"""Labelled sentences of an evaluation with many labels."""

FINE_TUNING = FineTuning(steps=100, batch=32, learning_rate=1e-3, head_learning_rate=1e-2)
"""The recipe of fine-tuning: about six passes over the labelled sentences."""

Grade = Callable[[Evaluation, Network, Sequence[torch.Generator]], Float[Tensor, " member"]]
"""The accuracies of the members of a stack, given their evaluation, the network and a generator of each."""


@dataclass(frozen=True)
class FurtherEvaluation:
    """An evaluation besides the few-label one.

    Attributes:
        grade: what is learnt from the labelled sentences, and how well.
        many: labelled sentences of its one large draw; None for the scale's draws of few.
    """

    grade: Grade
    many: int | None


def _many_labels(evaluation: Evaluation, network: Network, _: Sequence[torch.Generator]) -> Tensor:
    return evaluation.accuracy(unmasked_states(network, evaluation.inputs))


def _masked_states(evaluation: Evaluation, network: Network, _: Sequence[torch.Generator]) -> Tensor:
    return evaluation.accuracy(every_masked_state(network, evaluation.inputs))


def _fine_tuning(evaluation: Evaluation, network: Network, generators: Sequence[torch.Generator]) -> Tensor:
    classes = evaluation.one_hot.argmax(-1).double()
    found = fine_tune(
        network,
        evaluation.inputs[:, : evaluation.learnt],
        classes[:, : evaluation.learnt],
        evaluation.inputs[:, evaluation.learnt :],
        classes[:, evaluation.learnt :],
        [float(label) for label in range(evaluation.one_hot.shape[-1])],
        generators,
        settings=FINE_TUNING,
    )
    return found.accuracy.estimate


EVALUATIONS: Mapping[EvaluationName, FurtherEvaluation] = MappingProxyType(
    {
        "many labels": FurtherEvaluation(_many_labels, MANY),
        "masked states": FurtherEvaluation(_masked_states, None),
        "fine-tuning": FurtherEvaluation(_fine_tuning, MANY),
    }
)
"""By name.

many labels: a ridge head on the unmasked states of 512 sentences. masked states: few labels as in the main evaluation,
on the states with each position masked in turn, which the masked loss trains. fine-tuning: network and head together on
512 sentences by `FINE_TUNING`.
"""
