"""Evaluations: ridge heads on unmasked states, on few labels and on many, on masked states, and fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic import DownstreamTask
from verify.cohorts.scale import EvaluationName
from verify.downstream import FineTuning, every_masked_state, fine_tune, fit_ridge, unmasked_states
from verify.networks import Network
from verify.training.adversary import task_draw


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Labelled sentences of every member's downstream task: draws to learn from, and a test set.

    Attributes:
        inputs: the sentences, those of the draws first.
        one_hot: their labels.
        labels: labelled sentences of a draw.
        draws: independent draws; all sentences are independent.
    """

    inputs: Int64[Tensor, "member example position"]
    one_hot: Float[Tensor, "member example class"]
    labels: int
    draws: int

    @property
    def learnt(self) -> int:
        """Sentences of all draws together; the test set begins after them."""
        return self.labels * self.draws

    @property
    def chance(self) -> Float[Tensor, " member"]:
        """Accuracy of the best constant answer on the test set, the share of its largest class."""
        return self.one_hot[:, self.learnt :].mean(1).amax(-1)

    def to(self, device: str) -> Evaluation:
        """Return the evaluation on a device."""
        return replace(self, inputs=self.inputs.to(device), one_hot=self.one_hot.to(device))

    @classmethod
    def sample(
        cls, tasks: Sequence[DownstreamTask], seeds: Sequence[int], *, labels: int, draws: int, tested: int
    ) -> Evaluation:
        """Draw fresh sentences for every member from its own seed; all tasks have the same label values."""
        drawn = []
        for task, seed in zip(tasks, seeds, strict=True):
            draw = task_draw(task, torch.float64)
            drawn.append(draw(labels * draws + tested, torch.Generator().manual_seed(seed)))
        inputs, one_hot = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return cls(inputs, one_hot, labels, draws)

    def accuracy(self, features: Float[Tensor, "member example feature"]) -> Float[Tensor, " member"]:
        """Return the mean accuracy, over draws, of one-hot ridge heads (`fit_ridge`) on the test set. Monte Carlo."""
        return mean_accuracy(self.answers(features))

    def answers(self, features: Float[Tensor, "member example feature"]) -> Bool[Tensor, "member draw asked"]:
        """Return which test sentences the head of each draw gets right."""
        learnt, members = self.learnt, len(features)

        def by_draw(values: Tensor) -> Tensor:
            return values[:, :learnt].reshape(members, self.draws, self.labels, -1)

        fit = fit_ridge(by_draw(features), by_draw(self.one_hot))
        predicted = fit.predict(features[:, None, learnt:]).argmax(-1)
        right: Tensor = predicted == self.one_hot[:, None, learnt:].argmax(-1)
        return right


def mean_accuracy(right: Bool[Tensor, "member draw asked"]) -> Float[Tensor, " member"]:
    """Return the share of right answers of every member, over draws and test sentences."""
    return right.double().mean((1, 2))


def by_halves(right: Bool[Tensor, "member draw asked"]) -> Float[Tensor, "half member"]:
    """Return the accuracies in two evaluations of half the size: every other draw, on every other test sentence.

    Their sentences are independent, so that what they agree on is no chance of the evaluation's.
    """
    return torch.stack([mean_accuracy(right[:, half::2, half::2]) for half in (0, 1)])


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
    inputs, classes, n = evaluation.inputs, evaluation.one_hot.argmax(-1), evaluation.learnt
    train, test = (inputs[:, :n], classes[:, :n]), (inputs[:, n:], classes[:, n:])
    return fine_tune(network, *train, *test, evaluation.one_hot.shape[-1], generators, FINE_TUNING).accuracy


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
