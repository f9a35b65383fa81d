"""The product model p = σ(uv): the smallest model whose slow flow is solved in closed form."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from verify.models.two_layer import TwoLayerModel, require_finite


class ProductModel(TwoLayerModel):
    """One context, two parameters: f = u v, p*(+1) = σ(α), Γ = {uv = α}.

    θ = [u, v], float64. On Γ, tr H = σ'(α)(u² + v²). Source: ours.

    Raises:
        ValueError: `alpha` is not finite.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = require_finite("ProductModel", alpha)
        one = torch.ones(1, 1, dtype=torch.float64)
        super().__init__(
            "product",
            width=1,
            activation="identity",
            contexts=one,
            context_prob=one[0],
            prob_plus=torch.sigmoid(alpha * one[0]),
            layout={"u": slice(0, 1), "v": slice(1, 2)},
        )

    def on_manifold(self, imbalance: float) -> Float[Tensor, " parameter"]:
        """Return the point of Γ with u > 0 and u² − v² = `imbalance`; at α = 0 one factor is zero.

        From uv = α: u² = (Δ + √(Δ² + 4α²))/2.
        """
        root = math.hypot(imbalance, 2 * self.alpha)
        larger = math.sqrt((abs(imbalance) + root) / 2)
        smaller = abs(self.alpha) / larger if larger else 0.0
        u, v = (larger, smaller) if imbalance >= 0 else (smaller, larger)
        return self.contexts.new_tensor([u, math.copysign(v, self.alpha)])

    def flattest(self) -> Float[Tensor, " parameter"]:
        """Return the balanced minimum u = √|α|, v = sign(α) √|α|, where tr H = 2|α| σ'(α) is least."""
        return self.on_manifold(0.0)
