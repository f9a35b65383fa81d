r"""The adversarial algorithm: a model of the same masked loss whose features are made useless for a downstream task.

The objective is L(ψ) − λ·V(ψ), V the validation loss of a linear head fitted on the features (paper, adversarial
algorithm; second-hand). There the head is fitted by gradient steps; here by ridge regression in closed form, so that V
is a function of ψ alone and its gradient is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic import PAD, DownstreamTask
from verify.training.batches import Draw

CAP = 2.0
"""Greatest V that is rewarded, in units of the loss of the best constant."""


@dataclass(frozen=True)
class Adversary:
    """The term −λ·min(V, `CAP`) of a training objective.

    Attributes:
        weight: λ.
        task: name of the downstream task of the language.
        fitted: examples that the head is fitted on, split A.
        validated: examples that V is measured on, split B; all are drawn afresh at every step.
        ridge: penalty of the head relative to the summed squared norms of the centred features of split A.

    Raises:
        ValueError: a size is below two (A) or one (B), or ridge is not positive.
    """

    weight: float
    task: str
    fitted: int = 64
    validated: int = 64
    ridge: float = 1e-3

    def __post_init__(self) -> None:
        if self.fitted < 2 or self.validated < 1:
            raise ValueError(f"expected fitted >= 2 and validated >= 1 examples, got {self}")
        if not self.ridge > 0:
            raise ValueError(f"expected ridge > 0, got {self}; it keeps the head determined")


def concatenated(
    states: Float[Tensor, "*stack example position feature"], inputs: Int64[Tensor, "*data example position"]
) -> Float[Tensor, "*stack example pooled"]:
    """Return the features of sentences, the states of all positions side by side; padding counts as zero."""
    return (states * (inputs != PAD).unsqueeze(-1)).flatten(-2)


def validation_loss(
    features: Float[Tensor, "*stack example feature"],
    one_hot: Float[Tensor, "*stack example label"],
    fitted: int,
    ridge: float,
) -> Float[Tensor, "*stack"]:
    r"""Return the loss V on the other examples of the ridge head fitted on the first `fitted` of them.

    With Φ, Y centred by the means of split A, K = Φ_A Φ_Aᵀ and μ = ridge·tr K, the predictions on B are
    Φ_B Φ_Aᵀ (K + μI)⁻¹ Y_A (the dual form of ridge regression, penalty μ), and

        V = mean_B ‖prediction − Y_B‖² / mean_B ‖Y_B‖²:

    V = 1 for features that vary in no way a head can use, and more for a head that is misled; 0 where all labels are
    equal. The condition number of the equation is at most 1 + 1/ridge. Differentiable. Exact up to rounding.

    Args:
        features: one row per example, split A first.
        one_hot: labels in one-hot code.
        fitted: size of split A.
        ridge: relative penalty.
    """
    centred = features - features[..., :fitted, :].mean(-2, keepdim=True)
    labels = one_hot - one_hot[..., :fitted, :].mean(-2, keepdim=True)
    a, b = centred[..., :fitted, :], centred[..., fitted:, :]
    gram = a @ a.mT
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    # Where the spread is the rounding of the mean there is none: any fixed penalty makes the head predict the mean.
    size = features[..., :fitted, :].detach().square().sum((-2, -1))[..., None, None]
    rounding = (fitted * torch.finfo(features.dtype).eps) ** 2 * size
    penalty = torch.where(trace > rounding, ridge * trace, 1.0)
    identity = torch.eye(fitted, dtype=features.dtype, device=features.device)
    dual = torch.linalg.solve(gram + penalty * identity, labels[..., :fitted, :])
    residual = b @ (a.mT @ dual) - labels[..., fitted:, :]
    scale = labels[..., fitted:, :].square().sum((-2, -1))
    relative: Tensor = residual.square().sum((-2, -1)) / scale.clamp_min(torch.finfo(features.dtype).tiny)
    return relative


def task_draw(task: DownstreamTask, dtype: torch.dtype) -> Draw:
    """Return a draw of (inputs, labels in one-hot code) from a downstream task."""
    values = torch.tensor(task.label_values, dtype=torch.float64)

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        sample = task.sample(n, generator)
        return sample.inputs, (sample.labels.unsqueeze(-1) == values).to(dtype)

    return draw
