"""The slow flow of the product model p = σ(uv) in closed form, as a model of what rests on the slow flow.

On Γ = {uv = α} the imbalance Δ = u² − v² says where; Δ(τ) = Δ(0) e^{−σ'(α)τ} (`product_model`), and with
n² = u² + v² = √(Δ² + 4α²), tr H = σ' n². Along the unit tangent (u, −v)/n: slope of tr H 2σ'Δ/n, velocity −σ'Δ/(2n),
as dΔ/dτ is 2n times the velocity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from theory.kernel import enclosed, logistic_slope


def moved(alpha: sp.Rational, imbalance: sp.Rational, time: sp.Expr) -> sp.Expr:
    """Δ(τ)."""
    return imbalance * sp.exp(-logistic_slope(alpha) * time)


def trace(alpha: sp.Rational, imbalance: sp.Expr) -> sp.Expr:
    """Return tr H."""
    return logistic_slope(alpha) * sp.sqrt(imbalance**2 + 4 * alpha**2)


def slope(alpha: sp.Rational, imbalance: sp.Expr) -> sp.Expr:
    """Slope of tr H along the unit tangent."""
    return 2 * logistic_slope(alpha) * imbalance / (imbalance**2 + 4 * alpha**2) ** sp.Rational(1, 4)


def velocity(alpha: sp.Rational, imbalance: sp.Expr) -> sp.Expr:
    """Velocity along the unit tangent."""
    return -logistic_slope(alpha) * imbalance / 2 / (imbalance**2 + 4 * alpha**2) ** sp.Rational(1, 4)


def mean_square(alpha: sp.Rational, imbalance: sp.Rational, time: sp.Rational) -> Any:
    """Mean over [0, τ] of the squared slope, by Gauss and Legendre; the radius is what half as many nodes differ by."""
    share = float(1 / (1 + np.exp(-float(alpha))))
    share *= 1 - share

    def by(nodes: int) -> float:
        places, weights = np.polynomial.legendre.leggauss(nodes)
        at = float(imbalance) * np.exp(-share * float(time) * (places + 1) / 2)
        return float(weights @ (4 * share**2 * at**2 / np.sqrt(at**2 + 4 * float(alpha) ** 2)) / 2)

    fine = by(40)
    return enclosed(fine, abs(fine - by(20)) + 100 * float(np.finfo(float).eps) * fine)
