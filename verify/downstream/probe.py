"""Ridge probes: a multi-class head on fixed features, fitted in closed form, with many labels or with few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from verify.downstream.ridge import RELATIVE_PENALTIES, RidgeFit, check_finite, fit_ridge
from verify.downstream.scores import Accuracy, accuracy, class_indices

_CHUNK_ELEMENTS = 2**24  # numbers of labelled features, or of predictions, held at once


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """A probe per member of the stack, scored on one test set.

    Attributes:
        accuracy: with its exact interval over test examples, the probe being given.
        fit: the heads; targets are classes one-hot, in the order of the label values.
        n_labels: labelled examples.
        method: how it was fitted.
    """

    accuracy: Accuracy
    fit: RidgeFit
    n_labels: int
    method: str


def ridge_probe(
    features_train: Float[Tensor, "*stack label feature"],
    labels_train: Float[Tensor, " label"],
    features_test: Float[Tensor, "*stack example feature"],
    labels_test: Float[Tensor, " example"],
    label_values: Sequence[float],
    *,
    relative_penalties: tuple[float, ...] = RELATIVE_PENALTIES,
    alpha: float = 0.05,
) -> ProbeResult:
    """Fit one-hot ridge heads on labelled features and score them; a class is answered by its largest output.

    The stack axis holds, for instance, the seeds of one architecture on the same labelled inputs. Of equal outputs the
    first class is answered: without features this is the commonest label of the training set. The penalty is chosen by
    leave-one-out squared error, from the training labels alone. Exact up to rounding; no randomness.

    Args:
        features_train: features of the labelled inputs.
        labels_train: their labels, each among the label values.
        features_test: features of the test inputs.
        labels_test: their labels.
        label_values: as in `DownstreamTask.label_values`.
        relative_penalties: as in `fit_ridge`.
        alpha: error probability of the interval for the accuracy.

    Raises:
        ValueError: no labels, a label that is no label value, or features that are not finite.
    """
    check_finite(features_test, "test features")
    targets = one_hot(class_indices(labels_train, label_values), label_values)
    fit = fit_ridge(features_train, targets, relative_penalties)
    predicted = fit.predict(features_test).argmax(-1)
    scored = accuracy(predicted, class_indices(labels_test, label_values), alpha)
    return ProbeResult(scored, fit, len(labels_train), "one-hot ridge, leave-one-out penalty")


def one_hot(classes: Int64[Tensor, "*batch"], label_values: Sequence[float]) -> Float[Tensor, "*batch class"]:
    """Return the classes one-hot in float64."""
    return torch.nn.functional.one_hot(classes, len(label_values)).double()


@dataclass(frozen=True, eq=False)
class RegressionResult:
    """A ridge regression per member of the stack, scored on one test set.

    Attributes:
        mse: mean squared error over test examples and targets.
        r2: 1 − squared error/squared deviation from the *training* mean, over all targets together.
        fit: the heads.
        n_labels: labelled examples.
    """

    mse: Float[Tensor, "*stack"]
    r2: Float[Tensor, "*stack"]
    fit: RidgeFit
    n_labels: int


def ridge_regression(
    features_train: Float[Tensor, "*stack label feature"],
    targets_train: Float[Tensor, "label target"],
    features_test: Float[Tensor, "*stack example feature"],
    targets_test: Float[Tensor, "example target"],
    *,
    relative_penalties: tuple[float, ...] = RELATIVE_PENALTIES,
) -> RegressionResult:
    """Fit ridge heads to real targets and score them, as `ridge_probe` does for classes.

    Raises:
        ValueError: as for `ridge_probe`; or test targets that all equal the training mean.
    """
    check_finite(features_test, "test features")
    fit = fit_ridge(features_train, targets_train, relative_penalties)
    error = (fit.predict(features_test) - targets_test).square().mean((-2, -1))
    spread = (targets_test - targets_train.double().mean(0)).square().mean()
    if not bool(spread > 0):
        raise ValueError("expected test targets that vary, got only the training mean; there is nothing to explain")
    return RegressionResult(error, 1 - error / spread, fit, len(targets_train))


@dataclass(frozen=True, eq=False)
class FewLabelResult:
    """Probes on independent draws of n labelled inputs; every member of the stack sees the same draws.

    Attributes:
        accuracy: of each draw's probe on the test set.
        mean: over draws.
        draws: indices of the labelled inputs in the pool.
        n_labels: n.
        n_test: test examples.
    """

    accuracy: Float[Tensor, "*stack draw"]
    mean: Float[Tensor, "*stack"]
    draws: Int64[Tensor, "draw label"]
    n_labels: int
    n_test: int


def few_label_probe(
    features_pool: Float[Tensor, "*stack pool feature"],
    labels_pool: Float[Tensor, " pool"],
    features_test: Float[Tensor, "*stack example feature"],
    labels_test: Float[Tensor, " example"],
    label_values: Sequence[float],
    n_labels: int,
    draws: int,
    generator: torch.Generator,
    *,
    per_class: bool = False,
    relative_penalties: tuple[float, ...] = RELATIVE_PENALTIES,
) -> FewLabelResult:
    """Fit ridge probes on `draws` independent choices of n labelled inputs from a pool, many at a time.

    Args:
        features_pool: features of the pool.
        labels_pool: its labels.
        features_test: features of the test inputs.
        labels_test: their labels.
        label_values: as in `ridge_probe`.
        n_labels: n, drawn without replacement; n of each class with `per_class`.
        draws: number of probes per member of the stack.
        generator: source of the choices.
        per_class: draw n from each class instead of n from the pool.
        relative_penalties: as in `fit_ridge`.

    Raises:
        ValueError: as for `ridge_probe`; or the pool, or a class in it, has fewer than n inputs.
    """
    check_finite(features_test, "test features")
    check_finite(features_pool, "pool features")
    pool_classes, test_classes = (class_indices(labels, label_values) for labels in (labels_pool, labels_test))
    chosen = _choices(pool_classes, len(label_values), n_labels, draws, generator, per_class)
    targets = one_hot(pool_classes, label_values)
    width, stack = features_pool.shape[-1], features_pool.shape[:-2]
    per_draw = stack.numel() * (chosen.shape[-1] * width + len(test_classes) * len(label_values))
    parts = []
    for rows in torch.split(chosen, max(1, _CHUNK_ELEMENTS // per_draw)):
        fit = fit_ridge(features_pool[..., rows, :], targets[rows], relative_penalties)
        predicted = fit.predict(features_test.unsqueeze(-3)).argmax(-1)
        parts.append((predicted == test_classes).double().mean(-1))
    found = torch.cat(parts, -1)
    return FewLabelResult(found, found.mean(-1), chosen, chosen.shape[-1], len(test_classes))


def _choices(
    classes: Tensor, n_classes: int, n: int, draws: int, generator: torch.Generator, per_class: bool
) -> Int64[Tensor, "draw label"]:
    """Draw subsets without replacement: the first n of a random order of the pool, or of each class."""
    groups = [(classes == k).nonzero()[:, 0] for k in range(n_classes)] if per_class else [torch.arange(len(classes))]
    least = min(map(len, groups))
    if n < 1 or draws < 1 or least < n:
        where = "the smallest class of the pool" if per_class else "the pool"
        raise ValueError(
            f"expected n_labels >= 1 and draws >= 1 and at least n_labels inputs in {where}, "
            f"got n_labels={n}, draws={draws} and {least} inputs; draw a larger pool"
        )
    parts = []
    for group in groups:
        order = torch.stack(
            [torch.randperm(len(group), generator=generator, device=generator.device)[:n] for _ in range(draws)]
        )
        parts.append(group.to(classes.device)[order.to(classes.device)])
    return torch.cat(parts, -1)
