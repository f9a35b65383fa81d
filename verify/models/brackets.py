"""The bracket model: a relu network that predicts a masked bracket from the sum of the others."""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor

from verify.models.two_layer import TwoLayerModel, require_enumerable, require_finite


def _is_nested(word: tuple[int, ...]) -> bool:
    """Whether no prefix of the word, +1 opening and −1 closing, closes more than it opened."""
    return all(depth >= 0 for depth in itertools.accumulate(word))


def bracket_contexts(T: int, *, nested: bool) -> Float[Tensor, "context feature"]:
    """Return every masked word z = Σ_{i≠t} x_i e_i, x balanced of length T (nested: Dyck words).

    The zero of z is the mask and x_t = −Σz, so words and masks give distinct contexts: T·C(T, T/2) of them,
    or T·Catalan(T/2) when nested. Exact.

    Raises:
        ValueError: T is odd or below 2, or there are too many contexts to enumerate.
    """
    if T < 2 or T % 2:
        raise ValueError(f"bracket contexts: expected an even length T >= 2, got T = {T}; balanced words are even")
    half = T // 2
    words = math.comb(T, half) // (half + 1 if nested else 1)
    require_enumerable("bracket contexts", T * words, "use a smaller T")
    rows = []
    for opened in itertools.combinations(range(T), half):
        chosen = set(opened)
        word = tuple(1 if i in chosen else -1 for i in range(T))
        if not nested or _is_nested(word):
            rows.append(word)
    x = torch.tensor(rows, dtype=torch.float64)
    return (x.unsqueeze(1) * (1 - torch.eye(T, dtype=torch.float64))).flatten(0, 1)


class BracketModel(TwoLayerModel):
    """f(z) = Σ_j a_j relu(w_j·z) on masked balanced words; the token y = −Σz is kept with probability σ(α).

    θ = [a (m), w (m·T, row by row)], and b (m) inside the relu when `bias`; relu'(0) = 0; float64.
    On Γ, tr H = σ'(α) E Σ_j [relu(w_j·z)² + a_j²(T − 1 + [bias]) 1{w_j·z + b_j > 0}], f including the bias.
    Source: ours, after the Dyck setting of the paper's Theorem 6.1, second-hand.

    Raises:
        ValueError: T is odd or below 2, m < 1, `alpha` is not finite, or there are too many contexts.
    """

    def __init__(self, T: int, m: int, alpha: float, *, nested: bool = False, bias: bool = False) -> None:
        self.T, self.m, self.nested = T, m, nested
        self.alpha = require_finite("BracketModel", alpha)
        contexts = bracket_contexts(T, nested=nested)
        super().__init__(
            "brackets",
            width=m,
            activation="relu",
            contexts=contexts,
            context_prob=torch.full((len(contexts),), 1 / len(contexts), dtype=torch.float64),
            prob_plus=torch.sigmoid(-alpha * contexts.sum(-1)),
            bias=bias,
        )

    def flattest(self) -> Float[Tensor, " parameter"]:
        r"""Return the minimum of tr H on Γ without biases: half the neurons along each of ±(1,…,1).

        A neuron a, w = c(1,…,1) adds a|c| to f on its active class, so Σ a_j|c_j| = ±α per class; balancing
        c² + a²(T − 1) gives |c| = |a|√(T−1) and tr H = 2|α|√(T−1) σ'(α). Source: ours. Biases, if any, are
        zero; this point is then on Γ but need not be flattest there.

        Raises:
            ValueError: m < 2 (one neuron is active on one class only).
        """
        if self.m < 2:
            raise ValueError(f"BracketModel.flattest: expected m >= 2, one neuron per class, got m = {self.m}")
        plus, minus = (self.m + 1) // 2, self.m // 2
        mass = self.contexts.new_full((self.m,), self.alpha / plus)
        mass[plus:] = -self.alpha / minus
        a = mass.sign() * (mass.abs() / math.sqrt(self.T - 1)).sqrt()
        w = (a.abs() * math.sqrt(self.T - 1)).unsqueeze(-1).repeat(1, self.T)
        w[:plus] *= -1
        return self.join(a, w)
