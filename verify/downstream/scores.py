"""Accuracy with its exact interval, and what to compare it with: chance, and the best any rule could do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from verify.statistics.intervals import Interval, binomial_interval


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Share of right answers over independent test examples, for each member of a stack.

    Attributes:
        estimate: right/n.
        low: lower end of the Clopper–Pearson interval for the probability of a right answer by this very rule.
        high: upper end.
        alpha: probability at most with which the interval of one member misses; each member has its own.
        n: test examples.
    """

    estimate: Float[Tensor, "*stack"]
    low: Float[Tensor, "*stack"]
    high: Float[Tensor, "*stack"]
    alpha: float
    n: int

    def interval(self, *index: int) -> Interval:
        """Return the interval of one member of the stack."""
        estimate, low, high = (float(values[index]) for values in (self.estimate, self.low, self.high))
        return Interval(estimate, low, high, self.alpha, self.n, "binomial")


def accuracy(
    predicted: Int64[Tensor, "*stack example"], classes: Int64[Tensor, "*#stack example"], alpha: float = 0.05
) -> Accuracy:
    """Compare predicted with true classes; ValueError from `binomial_interval` without an example."""
    n = predicted.shape[-1]
    right = (predicted == classes).sum(-1)
    counts = right.flatten().tolist()
    found = {k: binomial_interval(k, n, alpha) for k in set(counts)}
    table = [[found[k].estimate, found[k].low, found[k].high] for k in counts]
    ends = torch.tensor(table, dtype=torch.float64).reshape(*right.shape, 3)
    return Accuracy(ends[..., 0], ends[..., 1], ends[..., 2], alpha, n)


def class_indices(labels: Float[Tensor, "*batch"], label_values: Sequence[float]) -> Int64[Tensor, "*batch"]:
    """Return the index of each label among the values, which are compared exactly.

    Raises:
        ValueError: values that are not increasing, or a label that is none of them.
    """
    values = torch.tensor(label_values, dtype=torch.float64, device=labels.device)
    if len(values) < 2 or not bool((values[1:] > values[:-1]).all()):
        raise ValueError(f"expected at least two increasing label values, got {tuple(label_values)}; see the task")
    index = torch.searchsorted(values, labels.double().contiguous()).clamp(max=len(values) - 1)
    wrong = values[index] != labels
    if bool(wrong.any()):
        raise ValueError(
            f"expected labels among {tuple(label_values)}, got {float(labels[wrong][0])}; pass the task's label_values"
        )
    return index


def chance_level(
    labels: Float[Tensor, " example"], label_values: Sequence[float], prob: Float[Tensor, " example"] | None = None
) -> float:
    """Return the accuracy of the best constant answer: the share of the largest class, weighted by `prob` if given."""
    classes = class_indices(labels, label_values)
    weight = torch.full(labels.shape, 1 / len(labels), dtype=torch.float64, device=labels.device)
    weight = weight if prob is None else prob.double()
    share = torch.zeros(len(label_values), dtype=torch.float64, device=labels.device).index_add(0, classes, weight)
    return float(share.max())


def best_achievable(
    features: Float[Tensor, "example feature"],
    labels: Float[Tensor, " example"],
    label_values: Sequence[float],
    prob: Float[Tensor, " example"] | None = None,
) -> float:
    """Return the accuracy of the best rule that sees only the features: the largest class share of each distinct row.

    With the inputs themselves as features this is the Bayes accuracy, 1 for labels that are a function of the input.
    Exact over an enumeration with `prob`; on a sample it is an upper bound that is loose when most rows are distinct.
    """
    classes = class_indices(labels, label_values)
    _, row = torch.unique(features, dim=0, return_inverse=True)
    weight = torch.full(labels.shape, 1 / len(labels), dtype=torch.float64, device=labels.device)
    weight = weight if prob is None else prob.double()
    table = torch.zeros(int(row.max()) + 1, len(label_values), dtype=torch.float64, device=labels.device)
    return float(table.index_put((row, classes), weight, accumulate=True).amax(-1).sum())
