r"""Balanced brackets read by relu neurons: the squared gradient of the output is at least 2α√D on average.

A context z has the T − 1 unmasked tokens ±1 of a balanced word at their positions and 0 at the mask; the masked token
is y = −Σz. The net f(z) = Σ_j a_j relu(w_j·z) of any width m predicts it with margin y f(z) = α on every context.
With r_j = relu(w_j·z) and the gate s_j = 1{w_j·z > 0},

    |∇f(z)|² = Σ_j [ r_j² + a_j² D s_j ],    D = |z|² = T − 1,   or T if every neuron has a bias,

because ∂f/∂a_j = r_j and ∂f/∂w_j = a_j s_j z. For each neuron r² + a²D s − 2√D |a| r = s (r − |a|√D)² ≥ 0, and
Σ_j |a_j| r_j ≥ |f| = α. Hence E|∇f|² ≥ 2α√D under any law of the contexts, with equality only if on every context
every active neuron has r_j = |a_j|√D and an output weight of the sign of y.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from theory.claims.minima._bracket_networks import Context, Network, biased, contexts, on_gamma
from theory.kernel import Derivation, Model, Terms, Termwise

T = sp.Symbol("T", integer=True, even=True, positive=True)
alpha = sp.Symbol("alpha", positive=True)
D = sp.Symbol("D", positive=True)
width, n_contexts = sp.symbols("m N", integer=True, positive=True)
i, j, c = sp.symbols("i j c", integer=True, positive=True)
disagree = sp.Symbol("h", nonnegative=True)
b = sp.IndexedBase("b", nonnegative=True)
s, r, h = (sp.IndexedBase(name, nonnegative=True) for name in ("s", "r", "h"))
p = sp.IndexedBase("p", positive=True)
z = sp.IndexedBase("z", real=True)
unmasked = sp.Symbol("k", integer=True, nonnegative=True)
tokens = sp.IndexedBase("x", real=True)
head, before = sp.symbols("a v", real=True)
"""One neuron on one context: the unmasked tokens and their number, its output weight, its pre-activation."""


def over_neurons(term: sp.Expr) -> sp.Sum:
    """Return Σ_{j=1}^m term."""
    return sp.Sum(term, (j, 1, width))


def over_contexts(term: sp.Expr) -> sp.Sum:
    """Return Σ_{c=1}^N p_c · term, the mean over the contexts."""
    return sp.Sum(p[c] * term, (c, 1, n_contexts))


def squared_gradient(squared_norm: sp.Expr) -> sp.Sum:
    """Return |∇f|² on context c, Σ_j [r_jc² + b_j² D s_jc] with b_j = |a_j| and D = `squared_norm`."""
    return over_neurons(r[j, c] ** 2 + b[j] ** 2 * squared_norm * s[j, c])


margin = over_neurons((1 - 2 * h[j, c]) * b[j] * r[j, c])
"""y_c f(z_c): a neuron counts −1 where the sign of a_j is not that of y_c (h = 1), +1 where it is (h = 0)."""


def gradient_bound() -> Derivation:
    """Derive |∇f|² of a relu net on a context, and E|∇f|² ≥ 2α√D with the conditions for equality."""
    d = Derivation("bracket-gradient")
    _gradient(d)
    d.assume("gate", sp.Eq(s[j, c] * r[j, c], r[j, c]), "a neuron responds only where its gate is open: r = s r")
    d.assume("margin", sp.Eq(margin, alpha), "on Γ the margin y f is α on every context")
    d.assume("total", sp.Eq(sp.Sum(p[c], (c, 1, n_contexts)), 1), "the contexts have probabilities p_c > 0, Σ p_c = 1")
    root = sp.sqrt(D)
    d.inequality(
        "square",
        sp.Ge(s[j, c] * r[j, c] ** 2 + s[j, c] * b[j] ** 2 * D, 2 * root * b[j] * s[j, c] * r[j, c]),
        "the difference is s (r − |a|√D)²",
        Terms((s[j, c] * (r[j, c] - b[j] * root) ** 2,)),
    )
    d.inequality(
        "am-gm",
        sp.Ge(r[j, c] ** 2 + b[j] ** 2 * D * s[j, c], 2 * root * b[j] * r[j, c]),
        "arithmetic and geometric mean of the two halves of a neuron's squared gradient, as r = s r",
        Terms(using={"square": sp.S.One}),
        given=("gate",),
    )
    d.inequality(
        "neurons",
        sp.Ge(squared_gradient(D), 2 * root * over_neurons(b[j] * r[j, c])),
        "sum over the neurons of one context",
        Termwise("am-gm", j, sp.S.One, width, {}),
    )
    d.enumeration(
        "signs",
        sp.Eq(sp.Symbol("y") * sp.Symbol("epsilon"), 1 - 2 * disagree),
        "y ε = 1 − 2h for signs y of the token and ε of the output weight, h = 1 where they differ",
        ({sp.Symbol("y"): y, sp.Symbol("epsilon"): e, disagree: int(y != e)} for y in (-1, 1) for e in (-1, 1)),
    )
    d.inequality(
        "sign",
        sp.Ge(b[j] * r[j, c], (1 - 2 * h[j, c]) * b[j] * r[j, c]),
        "a neuron adds |a| r to the margin at most; the difference is 2h|a|r",
        Terms((2 * h[j, c] * b[j] * r[j, c],)),
    )
    d.inequality(
        "triangle",
        sp.Ge(over_neurons(b[j] * r[j, c]), margin),
        "sum over the neurons: Σ|a_j| r_j ≥ y f",
        Termwise("sign", j, sp.S.One, width, {}),
    )
    d.inequality(
        "context",
        sp.Ge(squared_gradient(D), 2 * root * alpha),
        "on one context: the two inequalities together, and y f = α",
        Terms(using={"neurons": sp.S.One, "triangle": 2 * root}),
        given=("margin",),
    )
    d.inequality(
        "weighted",
        sp.Ge(p[c] * squared_gradient(D), 2 * root * alpha * p[c]),
        "times the probability of the context",
        Terms(using={"context": p[c]}),
    )
    d.inequality(
        "contexts",
        sp.Ge(over_contexts(squared_gradient(D)), 2 * root * alpha * sp.Sum(p[c], (c, 1, n_contexts))),
        "sum over the contexts",
        Termwise("weighted", c, sp.S.One, n_contexts, {c: c}),
    )
    d.inequality(
        "mean",
        sp.Ge(over_contexts(squared_gradient(D)), 2 * alpha * root),
        "the probabilities add up to 1",
        Terms(using={"contexts": sp.S.One}),
        given=("total",),
    )
    return d.conclude("mean", models())


def models() -> Iterator[Model]:
    """Networks on Γ, on nested words of length 4: one at random, and one with biases that is as flat as any."""
    rows = list(contexts(4, nested=True))
    random = on_gamma(Fraction(3, 2), Fraction(2, 3), (Fraction(1, 2), (2, -1, 3, 1)))
    first = {D: 3, alpha: Fraction(3, 2), **_of_one_neuron(random, *rows[0])}
    yield Model("4 neurons, T = 4", {**first, **of_network(random, rows)})
    margin, flat = Fraction(25, 2), biased((3, 4), (5,))
    first = {D: 4, alpha: margin, **_of_one_neuron(flat, *rows[0])}
    model = Model("3 flattest neurons with biases, T = 4", {**first, **of_network(flat, rows)})
    yield model
    yield model.control("gate", "am-gm", {s: 0})
    yield model.control("margin", "context", {alpha: 2 * margin})
    yield model.control("total", "mean", {p: sp.Rational(1, 2 * len(rows))})
    yield model.control("token", "input-weights", {tokens: 2})


def of_network(net: Network, rows: Sequence[tuple[Context, int]]) -> dict[Any, Any]:
    """What the symbols stand for, the contexts being equally likely."""
    return {
        n_contexts: len(rows), c: range(1, len(rows) + 1), p: sp.Rational(1, len(rows)),
        width: len(net.heads), j: range(1, len(net.heads) + 1), b: [abs(a) for a in net.heads],
        s: transposed(map(net.gates, (z for z, _ in rows))), r: transposed(map(net.responses, (z for z, _ in rows))),
        h: transposed(net.wrong(token) for _, token in rows),
    }  # fmt: skip


def _of_one_neuron(net: Network, z: Context, token: int) -> dict[Any, Any]:
    return {
        head: net.heads[0], before: net.before(z)[0], tokens: [x for x in z if x], unmasked: sum(map(abs, z)),
        disagree: net.wrong(token)[0],
    }  # fmt: skip


def transposed(rows: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
    """Lists for each neuron, from lists for each context."""
    return list(zip(*rows, strict=True))


def _gradient(d: Derivation) -> None:
    """Add the squared gradient of one open neuron, without and with a bias; a closed neuron has gradient 0."""
    weight, rest, bias = sp.symbols("w R beta", real=True)
    neuron = head * (rest + weight * tokens[i] + bias)
    squares = sp.Sum(sp.diff(neuron, weight) ** 2, (i, 1, unmasked))
    by_head = sp.diff(neuron, head).subs(rest, before - weight * tokens[i] - bias)
    d.assume("token", sp.Eq(tokens[i] ** 2, 1), "tokens are ±1; the masked position holds 0 and adds nothing")
    d.identity(
        "input-weights",
        sp.Eq(squares, head**2 * unmasked),
        "Σ_i (∂f/∂w_i)² over k unmasked positions, each adding (a x)² = a²; there are T − 1 of them",
        given=("token",),
    )
    d.identity(
        "one-neuron",
        sp.Eq(by_head**2 + squares + sp.diff(neuron, bias) ** 2, before**2 + head**2 * (unmasked + 1)),
        "r² + a²D with k = T − 1: D = T; without the bias its derivative is absent and D = T − 1",
        given=("input-weights",),
    )
