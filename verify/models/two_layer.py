"""Two-layer networks on binary tokens: the family that the product, pair and bracket models belong to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from verify.models.model import FiniteModel

Activation = Literal["identity", "square", "relu"]

MAX_CONTEXTS = 2**16
"""Enumerating more contexts than this is refused."""


class TwoLayerModel(FiniteModel):
    r"""A network f_θ(z) = Σ_j a_j φ(w_j·z + b_j) with p_θ(+1 | z) = σ(f_θ(z)) and tokens ordered (−1, +1).

    Its derivatives are written out here, so that gradients, Fisher matrices and ensembles need no autograd:
    ∂f/∂a_j = φ(h_j), ∂f/∂w_j = a_j φ'(h_j) z, ∂f/∂b_j = a_j φ'(h_j), with h_j = w_j·z + b_j. For relu,
    φ'(0) = 0. Source: ours.

    θ = [a (m), w (m·d, row by row)], followed by [b (m)] when the network has biases.
    """

    width: int
    dimension: int
    activation: Activation
    bias: bool

    def __init__(
        self,
        name: str,
        *,
        width: int,
        activation: Activation,
        contexts: Float[Tensor, "context feature"],
        context_prob: Float[Tensor, " context"],
        prob_plus: Float[Tensor, " context"],
        bias: bool = False,
        layout: Mapping[str, slice] | None = None,
    ) -> None:
        if width < 1:
            raise ValueError(f"{name}: expected a width of at least 1, got {width}; pass a larger width")
        self.name = name
        self.width = width
        self.dimension = contexts.shape[-1]
        self.activation = activation
        self.bias = bias
        self.contexts = contexts
        self.context_prob = context_prob
        self.conditional = torch.stack([1 - prob_plus, prob_plus], dim=-1)
        last = width * (1 + self.dimension)
        blocks = {"a": slice(0, width), "w": slice(width, last)}
        if bias:
            blocks["b"] = slice(last, last + width)
        self.layout = blocks if layout is None else layout

    def split(
        self, theta: Float[Tensor, "*replica parameter"]
    ) -> tuple[Float[Tensor, "*replica width"], Float[Tensor, "*replica width dim"], Float[Tensor, "*#replica width"]]:
        """Return (a, w, b) as views of θ; b is zero for a network without biases."""
        m, d = self.width, self.dimension
        a, w = theta[..., :m], theta[..., m : m + m * d].reshape(*theta.shape[:-1], m, d)
        b = theta[..., m + m * d :] if self.bias else torch.zeros_like(a)
        return a, w, b

    def join(
        self,
        a: Float[Tensor, "*replica width"],
        w: Float[Tensor, "*replica width dim"],
        b: Float[Tensor, "*replica width"] | None = None,
    ) -> Float[Tensor, "*replica parameter"]:
        """Return θ from its blocks, the inverse of `split`; a missing b is zero."""
        blocks = [a, w.flatten(-2)]
        if self.bias:
            blocks.append(torch.zeros_like(a) if b is None else b)
        return torch.cat(blocks, dim=-1)

    def _activate(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(h) and φ'(h)."""
        if self.activation == "identity":
            return h, torch.ones_like(h)
        if self.activation == "square":
            return h.square(), 2 * h
        positive = (h > 0).to(h.dtype)
        return h * positive, positive

    def _hidden(self, theta: Tensor, contexts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a, φ(h), φ'(h) with shapes (..., 1, m), (..., batch, m), (..., batch, m)."""
        a, w, b = self.split(theta)
        h = contexts @ w.mT
        value, slope = self._activate(h + b.unsqueeze(-2) if self.bias else h)
        return a.unsqueeze(-2), value, slope

    def logit(
        self, theta: Float[Tensor, "*#replica parameter"], contexts: Float[Tensor, "*#replica batch feature"]
    ) -> Float[Tensor, "*replica batch"]:
        """Return f_θ(z) = log p_θ(+1 | z) − log p_θ(−1 | z) for every context in the batch."""
        a, value, _ = self._hidden(theta, contexts)
        return (a * value).sum(-1)

    def logit_jacobian(
        self, theta: Float[Tensor, "*#replica parameter"], contexts: Float[Tensor, "*#replica batch feature"]
    ) -> Float[Tensor, "*replica batch parameter"]:
        """Return ∇_θ f_θ(z), a row per context; differentiable in θ."""
        a, value, slope = self._hidden(theta, contexts)
        inner = a * slope
        columns = [value, (inner.unsqueeze(-1) * contexts.unsqueeze(-2)).flatten(-2)]
        if self.bias:
            columns.append(inner)
        return torch.cat(columns, dim=-1)

    def logit_pullback(
        self,
        theta: Float[Tensor, "*#replica parameter"],
        contexts: Float[Tensor, "*#replica batch feature"],
        weight: Float[Tensor, "*#replica batch"],
    ) -> Float[Tensor, "*replica parameter"]:
        """Return Σ_z weight_z ∇_θ f_θ(z) without forming the Jacobian."""
        a, value, slope = self._hidden(theta, contexts)
        inner = weight.unsqueeze(-1) * a * slope
        blocks = [(weight.unsqueeze(-1) * value).sum(-2), (inner.mT @ contexts).flatten(-2)]
        if self.bias:
            blocks.append(inner.sum(-2))
        return torch.cat(blocks, dim=-1)

    def mean_gradient(
        self,
        theta: Float[Tensor, "*#replica parameter"],
        contexts: Float[Tensor, "*#replica batch feature"],
        prob_plus: Float[Tensor, "*#replica batch"],
        weight: Float[Tensor, " batch"],
    ) -> Float[Tensor, "*replica parameter"]:
        """Return Σ_b weight_b (σ(f_θ(z_b)) − prob_plus_b) ∇f_θ(z_b), the gradient of a weighted loss."""
        residual = torch.sigmoid(self.logit(theta, contexts)) - prob_plus
        return self.logit_pullback(theta, contexts, weight * residual)

    def sample_gradient(
        self,
        theta: Float[Tensor, "parameter replica"],
        features: Float[Tensor, "feature replica"],
        prob_plus: Float[Tensor, " replica"],
    ) -> Float[Tensor, "parameter replica"]:
        """Return (σ(f_θ(z)) − prob_plus) ∇f_θ(z) of one context per replica, a column each.

        With replicas along the contiguous axis every operation streams through memory: several times faster than
        `mean_gradient`, whose matrix products are small.
        """
        m, d = self.width, self.dimension
        a, w = theta[:m], theta[m : m + m * d].view(m, d, -1)
        h = w[:, 0] * features[0]
        for i in range(1, d):
            h.addcmul_(w[:, i], features[i])
        if self.bias:
            h += theta[m + m * d :]
        value, slope = self._activate(h)
        residual = torch.sigmoid((a * value).sum(0)) - prob_plus
        gradient = torch.empty_like(theta)
        torch.mul(value, residual, out=gradient[:m])
        inner = (slope * a).mul_(residual)
        torch.mul(inner.unsqueeze(1), features, out=gradient[m : m + m * d].view(m, d, -1))
        if self.bias:
            gradient[m + m * d :] = inner
        return gradient

    def logit_laplacian(
        self, theta: Float[Tensor, "*#replica parameter"], contexts: Float[Tensor, "*#replica batch feature"]
    ) -> Float[Tensor, "*replica batch"]:
        """Return tr ∇²_θ f_θ(z): 2 Σ_j a_j (‖z‖² + [bias]) for squares, zero for identity and relu."""
        if self.activation != "square":
            return torch.zeros_like(self.logit(theta, contexts))
        fan_in = contexts.square().sum(-1) + float(self.bias)
        return 2 * theta[..., : self.width].sum(-1, keepdim=True) * fan_in

    def scores(
        self, theta: Float[Tensor, "*#replica parameter"], contexts: Float[Tensor, "*#replica batch feature"]
    ) -> Float[Tensor, "*replica batch token"]:
        """Return the scores (0, f_θ(z)) of the tokens (−1, +1)."""
        f = self.logit(theta, contexts)
        return torch.stack([torch.zeros_like(f), f], dim=-1)


def require_finite(name: str, alpha: float) -> float:
    """Return the logit `alpha`, checked.

    Raises:
        ValueError: `alpha` is infinite or not a number.
    """
    if not math.isfinite(alpha):
        raise ValueError(
            f"{name}: expected a finite alpha, got {alpha}; deterministic labels have no point with p_θ = p*"
        )
    return float(alpha)


def require_enumerable(name: str, count: int, remedy: str) -> None:
    """Check that `count` contexts may be enumerated.

    Raises:
        ValueError: `count` exceeds `MAX_CONTEXTS`.
    """
    if count > MAX_CONTEXTS:
        raise ValueError(f"{name}: expected at most {MAX_CONTEXTS} contexts, got {count}; {remedy}")
