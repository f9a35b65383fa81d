r"""How much sharper bracket nets are off the axis: by √(1 + tan²φ (T² − T − 1)/(T − 1)).

If no pre-activation is 0 and every neuron's direction is at an angle of φ or more to the axis ±(1, …, 1), then

    E|∇f|² ≥ 2α√(T−1) · √(1 + tan²φ (T² − T − 1)/(T − 1))   on Γ.

Of two contexts ±z exactly one opens a neuron; so its share of E|∇f|² is (E v² + a²(T−1))/2, v = w·z, and its share of
the margin is |a|S/(2T), where S is the sum of its weights times the sign of −a. The moments of z give
E v² = (S/T)² (1 + tan²θ (T² − T − 1)/(T − 1)) at angle θ. Mirrored directions attain the bound if φ is small.
"""

from __future__ import annotations

import sympy as sp

from theory.claims.minima.bracket_language import T, alpha, b, j, magnitude, over_neurons, width
from theory.kernel import Derivation, Terms, Termwise, logistic_slope

tangent = sp.Symbol("tau", nonnegative=True)
theta = sp.Symbol("t", nonnegative=True)
total, second = sp.symbols("S V", real=True)
growth, factor = sp.symbols("K rho", positive=True)
seconds, totals = sp.IndexedBase("V", real=True), sp.IndexedBase("S", real=True)
tangents = sp.IndexedBase("t", nonnegative=True)


def derive() -> Derivation:
    """Derive the bound at an angle, for any T, width and angle."""
    d = Derivation("bracket-angle")
    root = sp.sqrt(T - 1)
    d.define("growth", sp.Eq(growth, (T**2 - T - 1) / (T - 1)), "K, positive for T ≥ 2")
    d.define("factor", sp.Eq(factor, sp.sqrt(1 + growth * tangent**2)), "ρ, with τ = tan φ")
    _moments(d)
    d.assume("variance", sp.Eq(second, total**2 / T**2 * (1 + growth * theta**2)), "E v², by the step at-angle")
    d.assume("angle", sp.Ge(theta**2, tangent**2), "θ ≥ φ, with t = tan θ")
    d.inequality(
        "tilted",
        sp.Ge(second, total**2 / T**2 * (1 + growth * tangent**2)),
        "E v² grows with the angle",
        Terms(using={"angle": growth * total**2 / T**2}),
        given=("variance",),
    )
    d.inequality(
        "square",
        sp.Ge(total**2 / T**2 * factor**2 + magnitude**2 * (T - 1), 2 * factor * root * magnitude * total / T),
        "the difference is (ρS/T − |a|√(T−1))²",
        Terms(((factor * total / T - magnitude * root) ** 2,)),
    )
    d.inequality(
        "share",
        sp.Ge((second + magnitude**2 * (T - 1)) / 2, factor * root * magnitude * total / T),
        "a neuron's share of E|∇f|² against its share of the margin",
        Terms(using={"tilted": sp.Rational(1, 2), "square": sp.Rational(1, 2)}),
        given=("factor",),
    )
    d.assume(
        "variances",
        sp.Eq(seconds[j], totals[j] ** 2 / T**2 * (1 + growth * tangents[j] ** 2)),
        "the same for neuron j",
    )
    d.assume("angles", sp.Ge(tangents[j] ** 2, tangent**2), "the same for neuron j")
    shares = over_neurons((seconds[j] + b[j] ** 2 * (T - 1)) / 2)
    output = over_neurons(b[j] * totals[j])
    d.inequality(
        "neurons",
        sp.Ge(shares, factor * root / T * output),
        "sum over the neurons",
        Termwise(
            "share",
            j,
            sp.S.One,
            width,
            {second: seconds[j], total: totals[j], magnitude: b[j], theta: tangents[j]},
        ),
        given=("variances", "angles"),
    )
    d.assume("margin", sp.Eq(output, 2 * T * alpha), "α = E y f = Σ |a_j| S_j/(2T)")
    d.inequality(
        "bound",
        sp.Ge(
            logistic_slope(alpha) * shares,
            2 * alpha * root * sp.sqrt(1 + tangent**2 * (T**2 - T - 1) / (T - 1)) * logistic_slope(alpha),
        ),
        "tr H = σ'(α) E|∇f|² on Γ",
        Terms(using={"neurons": logistic_slope(alpha)}),
        given=("margin", "factor", "growth"),
    )
    return d.conclude("bound")


def _moments(d: Derivation) -> None:
    """Add E v² of a neuron whose direction is at angle θ."""
    square, pair, norm, weight = sp.symbols("q p Q x", real=True)
    gate = sp.Symbol("s", real=True)
    d.assume("gate", sp.Eq(gate**2, gate), "v ≠ 0: the gate s of z is open or closed, that of −z is 1 − s")
    d.identity(
        "halves",
        sp.Eq((gate * weight) ** 2 + sp.expand((1 - gate) ** 2) * weight**2, weight**2),
        "relu(v)² + relu(−v)² = v²: the pair ±z adds E v²/2 to E r²; likewise y relu(v) − y relu(−v) = y v, where "
        "E y z_i = −1/T, as Σ y z_i = −1",
        given=("gate",),
    )
    d.assume("uniform-mask", sp.Eq(square, (T - 1) / T), "E z_i² = (T − 1)/T: each position is masked as often")
    d.assume("balance", sp.Eq(pair, (1 - T * square) / (T * (T - 1))), "E(Σz)² = Tq + T(T − 1)p = 1, p = E z_i z_k")
    d.induction(
        "second-moment",
        sp.Eq(second, (square - pair) * norm + pair * total**2),
        "E v² = (q − p)Σw_i² + pS², one coordinate after the other",
        initial={second: sp.S.Zero, norm: sp.S.Zero, total: sp.S.Zero},
        update={
            second: second + square * weight**2 + 2 * pair * weight * total,
            norm: norm + weight**2,
            total: total + weight,
        },
    )
    d.assume(
        "tilt",
        sp.Eq(norm, total**2 * (1 + theta**2) / T),
        "|w|² = (S²/T)(1 + tan²θ), S/√T being its part on the axis; S = 0 adds no margin",
    )
    d.identity(
        "at-angle",
        sp.Eq(second, total**2 / T**2 * (1 + growth * theta**2)),
        "E v² at angle θ",
        given=("second-moment", "tilt", "balance", "uniform-mask", "growth"),
    )
