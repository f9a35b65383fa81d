r"""Runs of SGD at different rates, batches and momenta fall on one curve of tr H against slow time.

`slow-flow` moves a point of Γ by c = 1/(4B(1 − β)²) of −P_T ∇ tr H for each unit of kη². So with

    τ = kη²/(B(1 − β)²)

k steps move it along the one flow by τ/4, whatever η, B and β are; where that flow is at τ, tr H is T(τ). Two settings
are at the same place after k and k' steps iff

    k' = k (η²/η'²) (B'/B) (1 − β')²/(1 − β)².

The other clocks run at other speeds: after equally many steps, or at equal kη/B (as a loss at its plateau would have it,
where kη is the time of gradient flow and η/B the temperature), the slow times differ by the factors `by-steps` and
`by-temperature`. In the product model T is known, √(Δ(0)² e^{−2σ'τ} + 4α²) σ', and strictly falling, so that there no
other clock collapses the curves. That transformers at finite rates keep the clock is believed and measured.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.noise import hyperbola, slow_flow
from theory.claims.noise.plateau import batch, beta, eta
from theory.claims.noise.slow_flow import BATCH, MOMENTUM
from theory.kernel import Derivation, Model

steps, other_steps, other_eta, other_batch = sp.symbols("k k_1 eta_1 B_1", positive=True)
other_beta = sp.Symbol("beta_1", nonnegative=True)
path, tau, other_tau = sp.symbols("s tau tau_1", positive=True)
"""Length s along the flow of −P_T ∇ tr H, and the slow times of two settings."""


def slow(k: sp.Expr, rate: sp.Expr, size: sp.Expr, momentum: sp.Expr) -> sp.Expr:
    """kη²/(B(1 − β)²)."""
    return k * rate**2 / (size * (1 - momentum) ** 2)
