"""Two-layer networks at random points of Γ, in which the derivation of `slow_flow` is evaluated.

f(x) = Σ_k a_k (w_k·z_x)^q with two neurons, two inputs and two contexts, whose next token is 1 with probability
σ(α_x); cross-entropy. Given w, Γ = {f = α} is linear in a, so that points, curves and tangent fields are rational.
∂φ and ∂²φ are those of the limit of gradient flow, by its variational equations at θ ∈ Γ,

    δ' = −Hδ,   ζ' = −Hζ − D³L[δ_1, δ_2],   ζ(0) = 0,   ∂Φ[δ(0)] = δ(∞),   ∂²Φ[δ_1(0), δ_2(0)] = ζ(∞),

solved by a matrix exponential, which knows nothing of the derivation. Or φ is the balance |w_1|² − q a_1², which gradient
flow keeps at any distance from Γ. What is not rational is float64, with the error of its algorithm as radius.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from theory.claims.noise import slow_flow
from theory.kernel import Model, enclosed, logistic, logistic_slope

EPS = float(np.finfo(float).eps)
HEADS, WEIGHTS = sp.symbols("a_1:3"), sp.symbols("w_1:5")
PARAMETERS = (*HEADS, *WEIGHTS)
SIZE, ACROSS = len(PARAMETERS), 2
BATCH = 2
second = sp.IndexedBase("Phi2")
"""Φ2[i, j]: derivative of ∂_jφ along e_i, at θ."""


def models() -> Iterator[Model]:
    """Two networks with φ = v·Φ, one with its balance; controls."""
    m = slow_flow
    pairs, kept = _values(PAIRS, balance=False), _values(LINEAR, balance=True)
    model = Model("pair language, f = Σ a (w·z)²; limit of gradient flow", pairs)
    yield model
    yield Model("linear network, two inputs; limit of gradient flow", _values(TILTED, balance=False))
    balance = Model("linear network, two inputs; its balance |w|² − a²", kept)
    yield balance
    yield model.control("constant-on-the-flow", "flow-invariance-2", {second: 0}, "φ = v·θ")
    off = _values(replace(LINEAR, shift=sp.Rational(1, 5)), balance=True)
    axes = [[sp.Lambda(m.s, int(p == k)) for k in range(SIZE)] for p in range(SIZE - ACROSS)]
    away = Model("linear network off Γ, balance; axes for tangents", {**off, m.field.func: axes})
    yield away
    yield away.control("on-gamma", "flow-invariance-1", {}, "off Γ")
    yield balance.control("flat", "flat-to-first-order", {m.field.func: axes}, "axes, which are not tangent")
    turned = _values(PAIRS, balance=False, turn=1.0)
    yield model.control("eigendirection", "flow-invariance-2", turned, "e_1 and e_2 turned")
    yield balance.control("one-point", "flow-invariance-1", {m.first: [-3, 0, 1, 2, 0, 0]}, "lines through another point")
    doubled = [[2 * each for each in row] for row in pairs[m.e]]
    yield model.control("orthonormal", "trace-derivative", {m.e: doubled}, "e_i of length 2")
    slanted = [each + float(other) for each, other in zip(pairs[m.e][0], pairs[m.v], strict=True)]
    yield model.control("tangent", "tangent-component", {m.v: slanted}, "v + e_1")
    other = [each.expr.subs(m.s, 0) for each in pairs[m.field.func][0]]
    yield model.control("identity-on-gamma", "tangent-component", {m.v: other}, "another v than that of φ")
    yield model.control("third-derivatives", "trace-derivative", {m.v: other}, "another v than that of the curve")
    rows = pairs[m.hessian.func]
    yield model.control("symmetric", "flat-to-first-order", {m.hessian.func: rows[::-1]}, "rows of H in another order")
    yield model.control("noise", "drift", {m.noise: [1, 1]}, "isotropic noise")
    yield model.control("on-the-flow", "descent", {m.speed.func: [1, 2, 3, 4]}, "another velocity")


@dataclass(frozen=True)
class Network:
    """A network and a point.

    Attributes:
        power: q.
        inputs: z_x.
        probs: of the contexts.
        logits: α_x.
        weights: w_1 and w_2; the heads are those that put the network on Γ.
        velocity: of w_1 and w_2 on a curve on Γ.
        shift: added to the first head, to leave Γ.
    """

    power: int
    inputs: tuple[tuple[int, int], ...]
    probs: tuple[sp.Rational, ...]
    logits: tuple[sp.Rational, ...]
    weights: tuple[sp.Rational, ...]
    velocity: tuple[sp.Rational, ...]
    shift: sp.Rational = sp.S.Zero

    def features(self, w: Sequence[sp.Expr]) -> sp.Matrix:
        """Entry (x, k): (w_k·z_x)^q."""
        return sp.Matrix([[(w[k] * z[0] + w[k + 1] * z[1]) ** self.power for k in (0, 2)] for z in self.inputs])

    def on_gamma(self, w: Sequence[sp.Expr]) -> list[sp.Expr]:
        """The point of Γ with weights w."""
        features = self.features(w)
        return [*(features.adjugate() * sp.Matrix(self.logits) / features.det()), *w]

    @property
    def point(self) -> list[sp.Expr]:
        """The point θ."""
        head, *rest = self.on_gamma(self.weights)
        return [head + self.shift, *rest]

    @property
    def outputs(self) -> sp.Matrix:
        """f_x as polynomials in the parameters."""
        return self.features(WEIGHTS) * sp.Matrix(HEADS)

    def gradient(self, theta: Sequence[sp.Expr]) -> list[sp.Expr]:
        """∇L at a point, in symbols."""
        at = dict(zip(PARAMETERS, theta, strict=True))
        pairs = zip(self.probs, self.outputs, self.logits, strict=True)
        terms = [q * (logistic(f.subs(at)) - logistic(a)) * sp.Matrix([f]).jacobian(PARAMETERS).subs(at)
                 for q, f, a in pairs]  # fmt: skip
        return list(sum(terms, sp.zeros(1, SIZE)))

    def curve(self) -> tuple[list[list[sp.Expr]], list[list[sp.Expr]]]:
        """∂_j∂_kL and tangent fields t_q on a curve on Γ, as functions of the place s; t_q moves weight q alone.

        There f = α, so that ∂_j∂_kL = Σ_x q_x σ'(α_x) ∂_jf_x ∂_kf_x.
        """
        theta = self.on_gamma([w + slow_flow.s * u for w, u in zip(self.weights, self.velocity, strict=True)])
        slopes = self.outputs.jacobian(PARAMETERS).subs(dict(zip(PARAMETERS, theta, strict=True)))
        scale = sp.diag(*(q * logistic_slope(a) for q, a in zip(self.probs, self.logits, strict=True)))
        turned = -slopes[:, :2].adjugate() * slopes[:, 2:] / slopes[:, :2].det()
        return (slopes.T * scale * slopes).tolist(), turned.col_join(sp.eye(SIZE - 2)).T.tolist()

    def derivatives(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """∂_jf_x, ∂_j∂_kL and, on Γ, ∂_j∂_k∂_lL at θ in float64."""
        at = dict(zip(PARAMETERS, self.point, strict=True))

        def numbers(order: int, f: sp.Expr) -> np.ndarray:
            found = [f.diff(*places).subs(at) for places in itertools.product(PARAMETERS, repeat=order)]
            return np.array([float(each) for each in found]).reshape((SIZE,) * order)

        hessian, third, slopes = np.zeros((SIZE,) * 2), np.zeros((SIZE,) * 3), []
        for weight, f, logit in zip(self.probs, self.outputs, self.logits, strict=True):
            p, truth = (1 / (1 + np.exp(-float(x))) for x in (f.subs(at), logit))
            f1, f2 = numbers(1, f), numbers(2, f)
            turns = np.einsum("ij,k->ijk", f2, f1)
            turns = turns + turns.transpose(0, 2, 1) + turns.transpose(2, 1, 0)
            hessian += float(weight) * (p * (1 - p) * np.outer(f1, f1) + (p - truth) * f2)
            third += float(weight) * p * (1 - p) * ((1 - 2 * p) * np.einsum("i,j,k->ijk", f1, f1, f1) + turns)
            slopes.append(f1)
        return np.array(slopes), hessian, third


def _exponential(matrix: np.ndarray, time: float) -> tuple[np.ndarray, float]:
    """e^{At} by Taylor's series at t/2^n, ‖A‖t ≤ 2^n, squared n times; the radius is n roundings, each doubled on."""
    squarings = max(0, int(np.ceil(np.log2(time * np.linalg.norm(matrix, 2)))))
    step = matrix * (time / 2**squarings)
    term = total = np.eye(len(matrix))
    for order in range(1, 20):
        term = term @ step / order
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total, len(matrix) * EPS * 2**squarings * max(1.0, float(np.linalg.norm(total, 2))) ** 2


def _limit_map(hessian: np.ndarray, third: np.ndarray, slowest: float) -> tuple[np.ndarray, np.ndarray, float]:
    """∂Φ, and ∂²Φ as the tensor (component, j, k), at a point of Γ, and their radius."""
    one, time = np.eye(SIZE), np.log(1 / EPS) / slowest
    pairs = -np.kron(hessian, one) - np.kron(one, hessian)
    lifted = np.block([[pairs, np.zeros((SIZE**2, SIZE))], [-third.reshape(SIZE, -1), -hessian]])
    flow, radius = _exponential(lifted, time)
    straight, other = _exponential(-hessian, time)
    return straight, flow[SIZE**2 :, : SIZE**2].reshape((SIZE,) * 3), radius + other + EPS


def _values(network: Network, balance: bool, turn: float = 0.0) -> dict[Any, Any]:
    """What the symbols of the derivation stand for at θ, with the e_i turned by an angle."""
    m, theta = slow_flow, network.point
    slopes, hessian, third = network.derivatives()
    eigenvalues, vectors = np.linalg.eigh(hessian)
    h = eigenvalues[: -ACROSS - 1 : -1]
    e = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) @ vectors[:, : -ACROSS - 1 : -1].T
    radius = 64 * SIZE * EPS * h[0] / min(h[0] - h[1], h[1])  # backward error of H and eigh over the gap

    def near(numbers: np.ndarray, error: float = radius) -> Any:
        return enclosed(float(numbers), error) if not np.ndim(numbers) else [near(each, error) for each in numbers]

    curvature, raw = network.curve()
    tangents = _orthonormal(raw)
    ends = [[sp.Lambda(m.s, each) for each in row] for row in tangents]
    basis = np.array([[float(each.subs(m.s, 0)) for each in row] for row in tangents])
    start = sp.Matrix([network.velocity]) * sp.Matrix(raw).subs(m.s, 0)
    v = np.array(start.tolist()[0], dtype=float)
    lines = [[x + m.s * m.e[i, n] for n, x in enumerate(theta, 1)] for i in (1, 2)]
    first, second_order, error = _limit_map(hessian, third, h[1])
    bends = np.einsum("cjk,ij,ik->ic", second_order, e, e)
    noise = _covariance(network, slopes, e)
    found = {
        m.normal: ACROSS, m.tangential: SIZE - ACROSS, m.dimension: SIZE, m.batch: BATCH, m.s: [0],
        m.i: range(1, ACROSS + 1), m.l: range(1, ACROSS + 1), m.p: range(1, SIZE - ACROSS + 1),
        m.j: range(1, SIZE + 1), m.k: range(1, SIZE + 1), m.eta: sp.Rational(1, 10), m.beta: sp.Rational(1, 2),
        m.h: near(h), m.e: near(e), m.v: list(start), m.noise: near(noise),
        m.gradient.func: [[sp.Lambda(m.s, each) for each in network.gradient(line)] for line in lines],
        m.hessian.func: [[sp.Lambda(m.s, each) for each in row] for row in curvature], m.field.func: ends,
        m.climb.func: near(basis @ np.einsum("jjk->k", third)),
        m.speed.func: near(BATCH * basis @ (noise @ bends) / 2, error),
    }  # fmt: skip
    if balance:
        exact = [_balance(network, line) for line in lines]
        found[m.first] = [each.subs(m.s, 0) for each in exact[0]]
        slope = [[sp.Lambda(m.s, each) for each in row] for row in exact]
    else:
        found[m.first] = near(v @ first, error)
        found[second] = near(np.einsum("c,cjk,ij->ik", v, second_order, e), error)
        slope = [[sp.Lambda(m.s, m.first[n] + m.s * second[i, n]) for n in range(1, SIZE + 1)] for i in (1, 2)]
    return {**found, m.differential.func: slope}


def _balance(network: Network, theta: Sequence[sp.Expr]) -> list[sp.Expr]:
    """Gradient of |w_1|² − q a_1²."""
    return [-2 * network.power * theta[0], sp.S.Zero, 2 * theta[2], 2 * theta[3], sp.S.Zero, sp.S.Zero]


def _orthonormal(fields: list[list[sp.Expr]]) -> list[list[sp.Expr]]:
    """Combinations of tangent fields that are orthonormal at s = 0, by Gram and Schmidt."""
    made: list[sp.Matrix] = []
    for each in fields:
        row = sp.Matrix([each])
        for other in made:
            row -= other * _inner(row, other)
        made.append(row / sp.sqrt(_inner(row, row)))
    return [list(row) for row in made]


def _inner(one: sp.Matrix, other: sp.Matrix) -> sp.Expr:
    return sp.radsimp(one.subs(slow_flow.s, 0).dot(other.subs(slow_flow.s, 0)))


def _covariance(network: Network, slopes: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Variance along each e_i of the gradient of a batch of two, over all pairs of contexts and tokens."""
    outcomes = []
    for q, logit, slope in zip(network.probs, network.logits, slopes, strict=True):
        p = 1 / (1 + np.exp(-float(logit)))
        outcomes += [(float(q) * p, (p - 1) * (e @ slope)), (float(q) * (1 - p), p * (e @ slope))]
    pairs = [(a * b, (x + y) / 2) for (a, x), (b, y) in itertools.product(outcomes, repeat=BATCH)]
    return np.array(sum(weight * x**2 for weight, x in pairs) - sum(weight * x for weight, x in pairs) ** 2)


R = sp.Rational
PAIRS = Network(
    power=2,
    inputs=((1, 1), (1, -1)),
    probs=(R(1, 2), R(1, 2)),
    logits=(R(3, 2), -R(3, 2)),
    weights=(R(1, 2), R(4, 3), R(-1), R(2, 3)),
    velocity=(R(1), R(-1, 2), R(1, 3), R(2)),
)
LINEAR = Network(
    power=1,
    inputs=((2, 1), (-1, 1)),
    probs=(R(1, 3), R(2, 3)),
    logits=(R(1), R(-1, 2)),
    weights=(R(1, 2), R(2, 3), R(-1), R(3, 4)),
    velocity=(R(1), R(4, 3), R(0), R(0)),
)
"""The velocity is along the gradient of the balance: twice the weights of the first neuron."""
TILTED = replace(LINEAR, velocity=(R(1), R(-1, 2), R(1, 3), R(2)))
