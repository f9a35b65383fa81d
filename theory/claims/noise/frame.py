"""A point θ of Γ in the coordinates of the slow flow: eigenvectors across Γ, a tangent frame, and their derivatives."""

from __future__ import annotations

import sympy as sp

s = sp.Symbol("s", real=True)
"""Place on a line or curve through the point θ of Γ."""
i, j, k, other, p = sp.symbols("i j k l p", integer=True, positive=True)
normal, tangential, dimension = sp.symbols("r m D", integer=True, positive=True)
h = sp.IndexedBase("h", positive=True)
e, v = sp.IndexedBase("e"), sp.IndexedBase("nu")
"""e[i, j]: coordinate j of the i-th eigenvector of H across Γ; nu[j]: of a tangent direction v of Γ at θ."""
noise = sp.IndexedBase("S")
"""Variance of the batch gradient along e_i."""
first = sp.IndexedBase("Phi1")
"""∂_jφ at θ, for φ = v·Φ."""
differential, gradient = sp.Function("dphi")(i, j, s), sp.Function("dL")(i, j, s)
"""∂_jφ and ∂_jL at θ + s e_i."""
hessian, field = sp.Function("H")(j, k, s), sp.Function("t")(p, k, s)
"""∂_j∂_kL, and coordinate k of the p-th field of tangents, on a curve on Γ with velocity v at θ."""
slope = sp.Symbol("dtrH")
"""∂_v tr H."""
climb, speed = sp.Function("g", real=True)(p), sp.Function("w", real=True)(p)
"""Slope of tr H, and velocity of the flow, along t_p."""


def over_coordinates(expr: sp.Expr, index: sp.Symbol = j) -> sp.Expr:
    """Sum over all D coordinates."""
    return sp.Sum(expr, (index, 1, dimension))


def over_normal(expr: sp.Expr, index: sp.Symbol = i) -> sp.Expr:
    """Sum over the r directions across Γ."""
    return sp.Sum(expr, (index, 1, normal))


def over_tangent(expr: sp.Expr) -> sp.Expr:
    """Σ_p over the m directions along Γ."""
    return sp.Sum(expr, (p, 1, tangential))


def across(i: sp.Expr) -> sp.Expr:
    """N_i = D³L[e_i, e_i, v], as the derivative of the gradient twice along e_i."""
    return over_coordinates(v[j] * sp.Derivative(gradient.func(i, j, s), (s, 2)))
