r"""Where the bracket theorem stops: words of length 2, properly nested words, neurons with a bias.

A neuron with a > 0 meets the conditions for equality (`theory.claims.minima.bracket_language`) when its response is
κ or 0 on the contexts with y = +1 and 0 on those with y = −1. Besides w = −κ(1, …, 1) they are met by

* T = 2: w = (−κ, 0) and w = (0, −κ), a lookup table. Half the pre-activations are 0 there, so this rests on
  relu'(0) = 0: where no pre-activation is 0, mask moves alone force w ∝ (1, …, 1), at T = 2 as well;
* nested words of any length: w = (ω, …, ω, −κ) with any ω ≤ −κ/2, since their last token always closes. For
  ω < −κ/2 no pre-activation is 0;
* neurons with a bias, whose bound is 2α√T σ'(α): w = 2bz*, β = b − 2b(T − 1) responds to the context z* alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import sympy as sp

from theory.claims.minima._bracket_networks import Context, Network, on_gamma
from theory.claims.minima._bracket_networks import contexts as contexts
from theory.claims.minima.bracket_language import (
    D,
    T,
    alpha,
    gradient_bound,
    of_network,
    over_contexts,
    squared_gradient,
)
from theory.kernel import Derivation, Model, Terms, logistic_slope

kappa = sp.Symbol("kappa", positive=True)
y = sp.Symbol("y", integer=True)
total, last = sp.symbols("S z_T", real=True)
excess = sp.Symbol("xi", nonnegative=True)
height, output = sp.symbols("b a_b", positive=True)
same, elsewhere = sp.Symbol("k", integer=True, positive=True), sp.Symbol("k_0", integer=True, nonnegative=True)
"""In how many tokens a context differs from z* that has the same mask, or another one."""


def _cases(length: int, inputs: tuple[sp.Symbol, ...], *, nested: bool) -> list[dict[sp.Symbol, sp.Expr]]:
    return [dict(zip((*inputs, y), (*z, token), strict=True)) for z, token in contexts(length, nested=nested)]


def shortest_words() -> Derivation:
    """Derive that at T = 2 a lookup table reaches the minimum."""
    d = Derivation("brackets-length-two")
    inputs = sp.symbols("z_1 z_2", integer=True)
    right, wrong = (sp.Add(*(sp.Max(-sign * y * x, 0) for x in inputs)) for sign in (1, -1))
    d.enumeration(
        "lookup-table",
        sp.And(sp.Eq(right, 1), sp.Eq(wrong, 0)),
        "κ = 1, four neurons with w = −e_i, a > 0 and w = e_i, a < 0: on every context those with the sign of y "
        "respond with 1 in all, the others with 0, so one with κ; every condition for equality holds off ±(1, 1)",
        _cases(2, inputs, nested=False),
    )
    cases = _cases(2, inputs, nested=False)
    return d.conclude("lookup-table", [Model(f"context {place} of length 2", case) for place, case in enumerate(cases)])


def nested_words() -> Derivation:
    """Derive that on properly nested words of any length w = (ω, …, ω, −κ), ω ≤ −κ/2, reaches the minimum."""
    d = Derivation("brackets-nested")
    weight = sp.Symbol("omega", real=True)
    d.assume("closing", sp.Eq(last, -1), "the last token of a nested word closes; unmasked, z_T = −1")
    d.assume("plus", sp.Eq(total, -1), "contexts with y = +1 have S = Σz = −1, and their mask is not the last token")
    d.define("family", sp.Eq(weight, -kappa / 2 - excess), "ω ≤ −κ/2, written with ξ ≥ 0")
    d.identity(
        "open",
        sp.Eq(weight * (total - last) - kappa * last, kappa),
        "w·z = ω(S − z_T) − κz_T = κ on every context with y = +1, whatever ω",
        given=("closing", "plus"),
    )
    d.inequality(
        "closed",
        sp.Le(weight * (1 - last) - kappa * last, 0),
        "y = −1, last token unmasked: S = 1, z_T = −1 and w·z = 2ω + κ = −2ξ",
        Terms((2 * excess,)),
        given=("closing", "family"),
    )
    d.inequality(
        "closed-at-the-end",
        sp.Lt(weight, 0),
        "y = −1, last token masked: S = 1, z_T = 0 and w·z = ω",
        Terms((kappa / 2, excess)),
        given=("family",),
    )
    for length in (4, 6, 8):
        inputs = sp.symbols(f"z_1:{length + 1}", integer=True)
        value = -2 * sp.Add(*inputs[:-1]) - inputs[-1]
        d.enumeration(
            f"witness-{length}",
            sp.Eq(sp.Max(value, 0), (1 + y) / 2),
            f"κ = 1, w = −(2, …, 2, 1): relu(w·z) is 1 where y = +1 and 0 where y = −1, nested words of {length}",
            _cases(length, inputs, nested=True),
        )
    nested, other = (0, 1, -1, -1), (-1, -1, 0, 1)
    model = Model("the nested word (()), its first token masked", {kappa: 1, excess: Fraction(1, 3), **_sums(nested)})
    opened = model.control("closing", "open", _sums(other))
    return d.conclude("open", (model, opened, model.control("plus", "open", _sums((1, 0, 1, -1)))))


def _sums(z: Context) -> dict[sp.Symbol, int]:
    return {total: sum(z), last: z[-1]}


def biases() -> Derivation:
    """Derive that with biases the minimum is 2α√T σ'(α), reached by neurons that memorise one context each."""
    d = Derivation("brackets-bias")
    root = sp.sqrt(T)
    d.lemma("gradient", gradient_bound())
    d.instance("gradient-bias", "gradient", {D: T}, "a bias adds a² for every open neuron: D = |z|² + 1 = T")
    d.inequality(
        "bound",
        sp.Ge(logistic_slope(alpha) * over_contexts(squared_gradient(T)), 2 * alpha * root * logistic_slope(alpha)),
        "tr H = σ'(α) E|∇f|² on Γ",
        Terms(using={"gradient-bias": logistic_slope(alpha)}),
    )
    bias = sp.Symbol("beta", real=True)
    d.define("height", sp.Eq(height, sp.sqrt(alpha * root)), "the response of a neuron to a context z* …")
    d.define("output", sp.Eq(output, height / root), "… for which the two halves of its squared gradient are equal")
    d.define("bias", sp.Eq(bias, height - 2 * height * (T - 1)), "w = 2bz* for a context z*, and this bias")
    d.identity(
        "own-context",
        sp.Eq(2 * height * (T - 1) + bias, height),
        "on z* itself w·z* + β = b, as |z*|² = T − 1",
        given=("bias",),
    )
    d.inequality(
        "same-mask",
        sp.Lt(2 * height * (T - 1 - 2 * same) + bias, 0),
        "another context with the same mask differs in k ≥ 1 tokens: z*·z = T − 1 − 2k",
        Terms((4 * height * (same - 1), 3 * height)),
        given=("bias",),
    )
    d.inequality(
        "other-mask",
        sp.Lt(2 * height * (T - 2 - 2 * elsewhere) + bias, 0),
        "z*·z = T − 2 − 2k, k ≥ 0: T − 2 positions are unmasked in both",
        Terms((height, 4 * height * elsewhere)),
        given=("bias",),
    )
    own = ("output", "height")
    d.identity("own-margin", sp.Eq(output * height, alpha), "the neuron alone gives z* its margin", given=own)
    d.identity(
        "memorised",
        sp.Eq(logistic_slope(alpha) * (height**2 + output**2 * T), 2 * alpha * root * logistic_slope(alpha)),
        "one neuron for every context, each open there alone: tr H is the bound",
        given=own,
    )
    return d.conclude("memorised", _with_bias())


def _with_bias() -> Iterator[Model]:
    """On nested words of length 4: a network at random, without biases, and one that memorises every context."""
    rows = list(contexts(4, nested=True))
    memory = Network(
        [token for _, token in rows], [[4 * x for x in z] for z, _ in rows], [2 - 4 * sum(map(abs, z)) for z, _ in rows]
    )
    pairs = [(z, other) for (z, _), (other, _) in product(rows, repeat=2) if z != other]
    distances = [
        (z.index(0) == other.index(0), sum(x * u == -1 for x, u in zip(z, other, strict=True))) for z, other in pairs
    ]
    seen = {
        T: 4, same: sorted({k for masked, k in distances if masked}),
        elsewhere: sorted({k for masked, k in distances if not masked}),
    }  # fmt: skip
    yield Model("8 neurons that memorise, T = 4", {**seen, alpha: 2, height: 2, output: 1, **of_network(memory, rows)})
    random = on_gamma(Fraction(3, 2), Fraction(2, 3), (Fraction(1, 2), (2, -1, 3, 1)))
    yield Model("4 neurons, T = 4", {**seen, alpha: Fraction(3, 2), **of_network(random, rows)})
