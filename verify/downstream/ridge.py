r"""Ridge regression with an unpenalised intercept, its penalty chosen by exact leave-one-out error in closed form.

Minimise ‖Y − 1bᵀ − XW‖² + λ‖W‖². With X_c the centred features, X_c X_cᵀ = U diag(s) Uᵀ and A = U diag(1/(s+λ)) UᵀY,
W = X_cᵀ A, the residual is λA and its leverage 1 − h_ii = λ Σ_k U_ik²/(s_k+λ). The error of the fit without example i,
at example i, is (Y − Ŷ)_i/(1 − h_ii) (Allen 1974, Technometrics 16, 125: PRESS), for every λ from one decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

RELATIVE_PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-16, 9))
"""Default penalties, 1e-8 … 1e4, in units of the mean squared singular value of the centred features."""

_TIE = math.sqrt(torch.finfo(torch.float64).eps)  # errors this close are equal: the larger penalty is taken


_Solution = tuple[Tensor, Callable[[Tensor], Tensor]]
"""Leave-one-out errors at each penalty, and the weight at one penalty per member of the stack."""


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """A fitted head for each member of a stack.

    Attributes:
        weight: W, for the features as given.
        intercept: b.
        penalty: the chosen λ.
        penalties: the λ compared, increasing.
        loo_error: mean squared leave-one-out error over examples and targets, for each of them.
    """

    weight: Float[Tensor, "*stack feature target"]
    intercept: Float[Tensor, "*stack target"]
    penalty: Float[Tensor, "*stack"]
    penalties: Float[Tensor, "*stack penalty"]
    loo_error: Float[Tensor, "*stack penalty"]

    def predict(self, features: Float[Tensor, "*shared example feature"]) -> Float[Tensor, "*stack example target"]:
        """Return XW + b in float64; the stack axes of the features may be 1 or absent."""
        # einsum, as matmul writes shared examples out once for every head.
        products = torch.einsum("...ef,...ft->...et", features.double(), self.weight)
        return products + self.intercept.unsqueeze(-2)


def fit_ridge(
    features: Float[Tensor, "*stack example feature"],
    targets: Float[Tensor, "*#stack example target"],
    relative_penalties: tuple[float, ...] = RELATIVE_PENALTIES,
) -> RidgeFit:
    """Fit ridge heads in float64, one per member of the stack, each with the penalty of least leave-one-out error.

    The decomposition is of the smaller of the two Gram matrices; where examples are fewer, in the basis of contrasts
    orthogonal to 1, so that the intercept costs no accuracy and nothing cancels. Errors equal up to √ε go to the larger
    penalty. One example has no leave-one-out error, and is answered by W = 0.

    Args:
        features: X.
        targets: Y; the stack axes may be 1.
        relative_penalties: λ in units of tr(X_cᵀX_c)/min(n−1, features); positive.

    Raises:
        ValueError: no example, a value that is not finite, or a penalty that is not positive.
    """
    penalties = torch.tensor(sorted(relative_penalties), dtype=torch.float64, device=features.device)
    if not len(penalties) or not bool((penalties > 0).all()) or not bool(torch.isfinite(penalties).all()):
        raise ValueError(f"expected positive finite penalties, got {relative_penalties}; λ = 0 is `minimum_norm_head`")
    x, y = features.double(), targets.double()
    n, width = x.shape[-2:]
    if n < 1 or width < 1:
        raise ValueError(f"expected at least one example and one feature, got {n} and {width}")
    check_finite(x, "features")
    check_finite(y, "targets")
    y = y.expand(*x.shape[:-2], *y.shape[-2:])
    mean = y.mean(-2, keepdim=True)
    centre = x.mean(-2, keepdim=True)
    solve = _in_example_space if n - 1 <= width else _in_feature_space
    scale = (x - centre).square().sum((-2, -1)) / max(1, min(n - 1, width))
    scale = torch.where(scale > 0, scale, 1.0)
    absolute = penalties * scale.unsqueeze(-1)
    errors, weight_at = solve(x - centre, y - mean, absolute)
    if n == 1:
        errors = torch.zeros_like(errors)
    enough = errors <= errors.amin(-1, keepdim=True) * (1 + _TIE)
    # The last index at which `enough` holds: the largest of the equally good penalties.
    chosen = (enough * torch.arange(1, len(penalties) + 1, device=x.device)).argmax(-1)
    penalty = absolute.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    weight = weight_at(penalty)
    return RidgeFit(weight, (mean - centre @ weight).squeeze(-2), penalty, absolute, errors)


def check_finite(values: Tensor, what: str) -> None:
    """Raise where a value is not finite.

    Raises:
        ValueError: naming the first place.
    """
    bad = ~torch.isfinite(values)
    if bool(bad.any()):
        place = torch.nonzero(bad)[0].tolist()
        raise ValueError(
            f"expected finite {what}, got {int(bad.sum())} NaN or infinite, the first at index {place}; "
            "a diverged network has no features: leave it out and say so"
        )


def _in_example_space(x: Tensor, y: Tensor, penalties: Tensor) -> _Solution:
    """Decompose QᵀX XᵀQ, Q the contrasts: no more examples than features (or one more)."""
    contrasts = _contrasts(x.shape[-2], x.device)
    inner = contrasts.mT @ x
    value, vector = torch.linalg.eigh(inner @ inner.mT)
    value, basis = value.clamp(min=0), contrasts @ vector
    projected = basis.mT @ y

    def dual(penalty: Tensor) -> Tensor:
        found: Tensor = basis @ (projected / (value + penalty[..., None]).unsqueeze(-1))
        return found

    errors = []
    for penalty in penalties.unbind(-1):
        free = (basis.square() / (value + penalty[..., None]).unsqueeze(-2)).sum(-1)  # (1 − h_ii)/λ
        errors.append((dual(penalty) / free.unsqueeze(-1)).square().mean((-2, -1)))
    return torch.stack(errors, -1), lambda penalty: x.mT @ dual(penalty)


def _in_feature_space(x: Tensor, y: Tensor, penalties: Tensor) -> _Solution:
    """Decompose XᵀX: fewer features than examples."""
    n = x.shape[-2]
    value, vector = torch.linalg.eigh(x.mT @ x)
    value, scores = value.clamp(min=0), x @ vector
    projected = scores.mT @ y

    def shrunk(penalty: Tensor) -> Tensor:
        found: Tensor = projected / (value + penalty[..., None]).unsqueeze(-1)
        return found

    errors = []
    for penalty in penalties.unbind(-1):
        residual = y - scores @ shrunk(penalty)
        free = 1 - 1 / n - (scores.square() / (value + penalty[..., None]).unsqueeze(-2)).sum(-1)
        errors.append((residual / free.unsqueeze(-1)).square().mean((-2, -1)))
    return torch.stack(errors, -1), lambda penalty: vector @ shrunk(penalty)


def _contrasts(n: int, device: torch.device) -> Float[Tensor, "example contrast"]:
    """Return n − 1 orthonormal columns, all orthogonal to 1 (Helmert's)."""
    index = torch.arange(n, dtype=torch.float64, device=device)
    row, column = index[:, None], index[None, 1:]
    raw = torch.where(row < column, 1.0, torch.where(row == column, -column, 0.0))
    return raw / (column * (column + 1)).sqrt()
