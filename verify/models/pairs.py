"""The pair model: a quadratic network that predicts a token from the product of two others."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.models.two_layer import TwoLayerModel, require_enumerable, require_finite


class PairModel(TwoLayerModel):
    """f(z) = Σ_j a_j (w_j·z)², z uniform on {±1}^d, p*(+1 | z) = σ(α z₁z₂).

    θ = [a (m), w (m·d, row by row)], float64; the 2^d contexts in lexicographic order, −1 before +1.
    On Γ, tr H = σ'(α) Σ_j [3‖w_j‖⁴ − 2‖w_j‖₄⁴ + 4d a_j² ‖w_j‖²]. Source: ours.

    Raises:
        ValueError: d < 2, m < 1, `alpha` is not finite, or 2^d contexts are too many to enumerate.
    """

    def __init__(self, d: int, m: int, alpha: float) -> None:
        if d < 2:
            raise ValueError(f"PairModel: expected d >= 2, since the label depends on z1 z2, got d = {d}")
        require_enumerable("PairModel", 2**d, "use a smaller d")
        self.d, self.m = d, m
        self.alpha = require_finite("PairModel", alpha)
        signs = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        contexts = torch.cartesian_prod(*[signs] * d)
        super().__init__(
            "pairs",
            width=m,
            activation="square",
            contexts=contexts,
            context_prob=torch.full((2**d,), 2.0**-d, dtype=torch.float64),
            prob_plus=torch.sigmoid(alpha * contexts[:, 0] * contexts[:, 1]),
        )

    def flattest(self) -> Float[Tensor, " parameter"]:
        r"""Return the minimum of tr H on Γ: neurons along ±(e₁+e₂) and ±(e₁−e₂), equal λ_j in each class.

        ⌈m/2⌉ neurons along e₁+e₂ share Σλ_j = α/2 and ⌊m/2⌋ along e₁−e₂ share −α/2, where λ_j = a_j‖w_j‖².
        Balancing 2‖w‖⁴ + 4d λ²/‖w‖² over the scale of a neuron gives ‖w‖² = (d λ²)^{1/3}. Source: ours.

        Raises:
            ValueError: m < 2 (one neuron cannot represent z₁z₂) or α = 0 (every scale is zero).
        """
        if self.m < 2 or self.alpha == 0:
            raise ValueError(
                f"PairModel.flattest: expected m >= 2 and alpha != 0, got m = {self.m}, alpha = {self.alpha}"
            )
        plus, minus = (self.m + 1) // 2, self.m // 2
        mass = self.contexts.new_full((self.m,), self.alpha / 2 / plus)
        mass[plus:] = -self.alpha / 2 / minus
        squared_norm = (self.d * mass.square()) ** (1 / 3)
        w = self.contexts.new_zeros(self.m, self.d)
        w[:, 0] = (squared_norm / 2).sqrt()
        w[:plus, 1], w[plus:, 1] = w[:plus, 0], -w[plus:, 0]
        return self.join(mass / squared_norm, w)
