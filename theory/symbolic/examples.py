"""The models of the claims as symbolic models: product, pairs and brackets, small enough to write out."""

from __future__ import annotations

import itertools

import sympy as sp

from theory.kernel import logistic
from theory.symbolic.model import SymbolicModel, SymbolicModelError

alpha = sp.Symbol("alpha", real=True)


def product_model() -> SymbolicModel:
    """Model σ(uv), one context, target σ(α)."""
    u, v = sp.symbols("u v", real=True)
    return SymbolicModel(
        "product", (u, v), (sp.S.Zero, u * v), ({},), (1 - logistic(alpha), logistic(alpha)), constants=(alpha,)
    )


def pair_model(d: int = 2, m: int = 2) -> SymbolicModel:
    """f(z) = Σ_j a_j (w_j·z)², z uniform on {±1}^d, p*(+1 | z) = σ(α z₁z₂).

    Raises:
        SymbolicModelError: d < 2 or m < 1.
    """
    if d < 2 or m < 1:
        raise SymbolicModelError(f"pair_model: expected d >= 2 and m >= 1, got d = {d}, m = {m}")
    head, weights, z = _network(d, m)
    f = sp.Add(*(a * _dot(row, z) ** 2 for a, row in zip(head, weights, strict=True)))
    contexts = tuple(dict(zip(z, signs, strict=True)) for signs in itertools.product((-1, 1), repeat=d))
    return _binary("pairs", head, weights, f, contexts, alpha * z[0] * z[1])


def bracket_model(T: int = 4, m: int = 2) -> SymbolicModel:
    """f(z) = Σ_j a_j relu(w_j·z) on masked balanced words of length T, p*(+1 | z) = σ(−α Σz).

    Raises:
        SymbolicModelError: T is odd or below 2, or m < 1.
    """
    if T < 2 or T % 2 or m < 1:
        raise SymbolicModelError(f"bracket_model: expected an even T >= 2 and m >= 1, got T = {T}, m = {m}")
    head, weights, z = _network(T, m)
    f = sp.Add(*(a * sp.Max(0, _dot(row, z)) for a, row in zip(head, weights, strict=True)))
    words = (
        tuple(1 if place in opened else -1 for place in range(T)) for opened in itertools.combinations(range(T), T // 2)
    )
    contexts = tuple(
        {symbol: 0 if place == masked else word[place] for place, symbol in enumerate(z)}
        for word in words
        for masked in range(T)
    )
    return _binary("brackets", head, weights, f, contexts, -alpha * sp.Add(*z))


def _dot(first: tuple[sp.Symbol, ...], second: tuple[sp.Symbol, ...]) -> sp.Expr:
    return sp.Add(*(x * y for x, y in zip(first, second, strict=True)))


def _network(d: int, m: int) -> tuple[tuple[sp.Symbol, ...], tuple[tuple[sp.Symbol, ...], ...], tuple[sp.Symbol, ...]]:
    """Symbols of the head, of the input weights row by row, and of the inputs."""
    head = tuple(sp.Symbol(f"a_{j}", real=True) for j in range(1, m + 1))
    weights = tuple(tuple(sp.Symbol(f"w_{j}_{i}", real=True) for i in range(1, d + 1)) for j in range(1, m + 1))
    return head, weights, tuple(sp.Symbol(f"z_{i}", real=True) for i in range(1, d + 1))


def _binary(
    name: str,
    head: tuple[sp.Symbol, ...],
    weights: tuple[tuple[sp.Symbol, ...], ...],
    f: sp.Expr,
    contexts: tuple[dict[sp.Symbol, int], ...],
    target: sp.Expr,
) -> SymbolicModel:
    flat = tuple(w for row in weights for w in row)
    return SymbolicModel(
        name,
        (*head, *flat),
        (sp.S.Zero, f),
        contexts,
        (1 - logistic(target), logistic(target)),
        constants=(alpha,),
        layout={"a": slice(0, len(head)), "w": slice(len(head), len(head) + len(flat))},
    )
