"""Few-label transfer of every member of a stack: ridge heads on the states of unmasked sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.tasks import DownstreamTask
from verify.downstream.ridge import fit_ridge
from verify.downstream.scores import class_indices


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
        """Draw fresh sentences for every member from its own stream.

        Args:
            tasks: one per member, with the same label values.
            seeds: one per member.
            labels: labelled sentences of a draw.
            draws: number of draws.
            tested: size of the test set.
        """
        inputs, one_hot = [], []
        for task, seed in zip(tasks, seeds, strict=True):
            sample = task.sample(labels * draws + tested, torch.Generator().manual_seed(seed))
            classes = class_indices(sample.labels, task.label_values)
            inputs.append(sample.inputs)
            one_hot.append(torch.nn.functional.one_hot(classes, len(task.label_values)).double())
        return cls(torch.stack(inputs), torch.stack(one_hot), labels, draws)

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
