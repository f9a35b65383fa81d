"""Two-layer networks at points of Γ, in which the derivation of `slow_flow` is evaluated.

f(x) = Σ_k a_k (w_k·z_x)^q with two neurons, two inputs and two contexts, whose next token is 1 with probability
σ(α_x); cross-entropy. Given w, Γ = {f = α} is linear in a, so that points and curves on it are solved for.
∂φ and ∂²φ are those of the limit of gradient flow, by its variational equations at θ ∈ Γ,

    δ' = −Hδ,   ζ' = −Hζ − D³L[δ_1, δ_2],   ζ(0) = 0,   ∂Φ[δ(0)] = δ(∞),   ∂²Φ[δ_1(0), δ_2(0)] = ζ(∞),

solved by a matrix exponential, which knows nothing of the derivation. Or φ is the balance |w_1|² − q a_1², which
gradient flow keeps at any distance from Γ. Functions of the place s are given to second order, which is what the
derivation asks of them, in float64, with the error of the algorithm as radius.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from theory.claims.noise import frame, plateau
from theory.kernel import Model, enclosed

EPS = float(np.finfo(float).eps)
SIZE, ACROSS, BATCH = 6, 2, 2
FRAME = np.eye(ACROSS)
ORDERS = 3
"""Coefficients of a Taylor series: of s^0, s^1 and s^2."""
differentials, gradients, hessians, fields = (sp.IndexedBase(name) for name in ("Phi", "L", "H", "T"))
"""Coefficients of the functions of s, by order, counted from 1, and indices."""


def models() -> Iterator[Model]:
    """A network with φ = v·Φ, one with its balance, on Γ and off it; controls."""
    m = frame
    pairs, kept = _values(PAIRS, balance=False), _values(LINEAR, balance=True)
    model = Model("pair language, f = Σ a (w·z)²; limit of gradient flow", pairs)
    yield model
    balance = Model("linear network, two inputs; its balance |w|² − a²", kept)
    yield balance
    fixed = {differentials: [[pairs[m.v]] * ACROSS, 0, 0]}
    yield model.control("constant-on-the-flow", "flow-invariance-2", fixed, "φ = v·θ")
    off = _values(replace(LINEAR, shift=0.2), balance=True)
    axes = [np.eye(SIZE - ACROSS, SIZE, dtype=int).tolist(), 0, 0]
    away = Model("linear network off Γ, balance; axes for tangents", {**off, fields: axes})
    yield away
    yield away.control("critical", "flow-invariance-1", {}, "off Γ")
    yield balance.control("flat", "flat-to-first-order", {fields: axes}, "axes, which are not tangent")
    turned = _values(PAIRS, balance=False, turn=np.array([[0.6, 0.8], [-0.8, 0.6]]))
    yield model.control("eigendirection", "flow-invariance-2", turned, "e_1 and e_2 turned")
    elsewhere = {m.first: [-3, 0, 1, 2, 0, 0]}
    yield balance.control("one-point", "flow-invariance-1", elsewhere, "lines through another point")
    longer = _values(PAIRS, balance=False, turn=2 * np.eye(ACROSS))
    yield model.control("orthonormal", "trace-derivative", longer, "e_i of length 2")
    slanted = [each + other for each, other in zip(pairs[m.e][0], pairs[m.v], strict=True)]
    yield model.control("tangent", "tangent-component", {m.v: slanted}, "v + e_1")
    other = pairs[fields][0][0]
    yield model.control("identity-on-gamma", "tangent-component", {m.v: other}, "another v than that of φ")
    yield model.control("third-derivatives", "trace-derivative", {m.v: other}, "another v than that of the curve")
    rows = pairs[m.hessian.func]
    yield model.control("symmetric", "flat-to-first-order", {m.hessian.func: rows[::-1]}, "rows of H in another order")
    yield model.control("noise", "drift", {m.noise: [1, 1]}, "isotropic noise")
    yield model.control("on-the-flow", "descent", {m.speed.func: [1, 2, 3, 4]}, "another velocity")


@dataclass(frozen=True)
class Network:
    """A network and a point; coordinates are a_1, a_2, w_1, w_2.

    Attributes:
        power: q, 1 or 2.
        inputs: z_x.
        probs: of the contexts.
        logits: α_x.
        weights: w_1 and w_2; the heads are those that put the network on Γ.
        velocity: of w_1 and w_2 on a curve on Γ.
        shift: added to the first head, to leave Γ.
    """

    power: int
    inputs: tuple[tuple[float, float], ...]
    probs: tuple[float, float]
    logits: tuple[float, float]
    weights: tuple[tuple[float, float], ...]
    velocity: tuple[tuple[float, float], ...]
    shift: float = 0.0

    @property
    def truth(self) -> np.ndarray:
        """Probability of the token 1 in each context."""
        return np.array([1 / (1 + np.exp(-logit)) for logit in self.logits])

    def features(self, weights: np.ndarray) -> np.ndarray:
        """Entry (order, x, k) of the series of (w_k·z_x)^q."""
        inner = np.einsum("xi,nki->nxk", self.inputs, weights)
        return inner if self.power == 1 else _times("xk,xk->xk", inner, inner)

    @property
    def point(self) -> np.ndarray:
        """The point θ."""
        heads = np.linalg.solve(self.features(np.array([self.weights]))[0], self.logits)
        return np.concatenate([heads + np.array([self.shift, 0]), np.ravel(self.weights)])

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Series of ∂_j∂_kL and of tangent fields t_q on a curve on Γ; t_q moves weight q, and the heads with it.

        There f = α, so that ∂_j∂_kL = Σ_x q_x σ'(α_x) ∂_jf_x ∂_kf_x.
        """
        weights = np.array([self.weights, self.velocity, np.zeros((2, 2))])
        features, fixed = self.features(weights), np.zeros((ORDERS, 2))
        fixed[0] = self.logits
        heads = _solved(features, fixed)
        inner = np.einsum("xi,nki->nxk", self.inputs, weights)
        each = heads[:, None].repeat(2, 1) if self.power == 1 else 2 * _times("xk,k->xk", inner, heads)
        turns = np.einsum("nxk,xi->nxki", each, self.inputs).reshape(ORDERS, 2, 4)
        slopes = np.concatenate([features, turns], axis=2)
        scale = np.array(self.probs) * self.truth * (1 - self.truth)
        hessian = _times("xj,xk->jk", slopes * scale[:, None], slopes)
        moves = np.zeros((ORDERS, 4, 4))
        moves[0] = np.eye(4)
        return hessian, np.concatenate([_solved(features, -turns), moves], axis=1).transpose(0, 2, 1)

    def derivatives(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """∂_jf_x at θ, and the first three derivatives of L there; f_x is homogeneous of degree q + 1."""
        theta, gradient = self.point, np.zeros(SIZE)
        hessian, third, slopes = np.zeros((SIZE,) * 2), np.zeros((SIZE,) * 3), []
        for weight, truth, z in zip(self.probs, self.truth, self.inputs, strict=True):
            f3, f2 = np.zeros((SIZE,) * 3), np.zeros((SIZE,) * 2)
            for k in range(2):
                head, row = np.eye(SIZE)[k], np.zeros(SIZE)
                row[2 + 2 * k : 4 + 2 * k] = z
                f2 += np.outer(head, row) + np.outer(row, head)
                f3 += 2 * _symmetric(np.einsum("i,j,k->ijk", head, row, row))
            f2, f3 = (f2, 0 * f3) if self.power == 1 else (f3 @ theta, f3)
            f1 = f2 @ theta / self.power
            p = 1 / (1 + np.exp(-f1 @ theta / (self.power + 1)))
            curvature, off = p * (1 - p), p - truth
            gradient += weight * off * f1
            hessian += weight * (curvature * np.outer(f1, f1) + off * f2)
            third += weight * curvature * (1 - 2 * p) * np.einsum("i,j,k->ijk", f1, f1, f1)
            third += weight * (curvature * _symmetric(np.einsum("ij,k->ijk", f2, f1)) + off * f3)
            slopes.append(f1)
        return np.array(slopes), gradient, hessian, third


def _symmetric(tensor: np.ndarray) -> np.ndarray:
    """a_ijk + a_kij + a_jki: of one that is symmetric in two places, the sum over the place of the third."""
    return np.array(tensor + tensor.transpose(1, 2, 0) + tensor.transpose(2, 0, 1))


def _times(rule: str, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Product of two series."""
    return np.array([sum(np.einsum(rule, left[m], right[n - m]) for m in range(n + 1)) for n in range(len(left))])


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Series X with matrix · X = right, order by order."""
    found: list[np.ndarray] = []
    for n in range(len(right)):
        known = sum((matrix[n - m] @ found[m] for m in range(n)), np.zeros_like(right[n]))
        found.append(np.linalg.solve(matrix[0], right[n] - known))
    return np.array(found)


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


def _values(network: Network, balance: bool, turn: np.ndarray = FRAME) -> dict[Any, Any]:
    """What the symbols of the derivation stand for at θ, with combinations of the eigenvectors for the e_i."""
    m = frame
    slopes, gradient, hessian, third = network.derivatives()
    eigenvalues, vectors = np.linalg.eigh(hessian)
    h = eigenvalues[: -ACROSS - 1 : -1]
    e = turn @ vectors[:, : -ACROSS - 1 : -1].T
    curvature, raw = network.curve()
    tangents = np.linalg.inv(np.linalg.cholesky(raw[0] @ raw[0].T)) @ raw
    v = np.ravel(network.velocity) @ raw[0]
    noise = _covariance(network, slopes, e)
    on_gamma = network.shift == 0
    straight, bent, error = _limit_map(hessian, third, h[1]) if on_gamma else (0 * hessian, 0 * third, 0.0)
    bends = np.einsum("cjk,ij,ik->ic", bent, e, e)
    # sums of products of numbers below `size`, and their backward errors over the gaps of H and of the tangents
    size = max(np.abs(each).max() for each in (third, curvature, tangents, v))
    rounding = 64 * SIZE**2 * EPS * size**2 / min(h[0] - h[1], h[1], np.linalg.svd(raw[0])[1][-1])

    def near(numbers: Any, radius: float = rounding) -> Any:
        return [near(each, radius) for each in numbers] if np.ndim(numbers) else enclosed(float(numbers), radius)

    def series(base: sp.IndexedBase, *shape: int) -> Any:
        places = [range(1, length + 1) for length in shape]

        def nested(*at: int) -> Any:
            if len(at) < len(shape):
                return [nested(*at, place) for place in places[len(at)]]
            return sp.Lambda(m.s, sum(base[(n + 1, *at)] * m.s**n for n in range(ORDERS)))

        return nested()

    if balance:
        start = np.array([-2 * network.power, 0, 2, 2, 0, 0]) * network.point
        rows = np.array([-2 * network.power, 0, 2, 2, 0, 0]) * e
        error = rounding
    else:
        start, rows = v @ straight, np.einsum("c,cjk,ij->ik", v, bent, e)
    lines = [np.tile(gradient, (ACROSS, 1)), e @ hessian, np.einsum("jkl,ik,il->ij", third, e, e) / 2]
    return {
        m.normal: ACROSS, m.tangential: SIZE - ACROSS, m.dimension: SIZE, plateau.batch: BATCH, m.s: [0],
        m.i: range(1, ACROSS + 1), m.other: range(1, ACROSS + 1), m.p: range(1, SIZE - ACROSS + 1),
        m.j: range(1, SIZE + 1), m.k: range(1, SIZE + 1),
        plateau.eta: sp.Rational(1, 10), plateau.beta: sp.Rational(1, 2),
        m.h: near(h), m.e: near(e), m.v: near(v), m.noise: near(noise), m.first: near(start, error),
        differentials: near([np.tile(start, (ACROSS, 1)), rows, 0 * rows], error),
        gradients: near(lines), hessians: near(curvature), fields: near(tangents),
        m.differential.func: series(differentials, ACROSS, SIZE), m.gradient.func: series(gradients, ACROSS, SIZE),
        m.hessian.func: series(hessians, SIZE, SIZE), m.field.func: series(fields, SIZE - ACROSS, SIZE),
        m.climb.func: near(tangents[0] @ np.einsum("jjk->k", third)),
        m.speed.func: near(BATCH * tangents[0] @ (noise @ bends) / 2, error),
    }  # fmt: skip


def _covariance(network: Network, slopes: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Variance along each e_i of the gradient of a batch of two, over all pairs of contexts and tokens."""
    outcomes = []
    for q, p, slope in zip(network.probs, network.truth, slopes, strict=True):
        outcomes += [(q * p, (p - 1) * (e @ slope)), (q * (1 - p), p * (e @ slope))]
    pairs = [(a * b, (x + y) / 2) for (a, x), (b, y) in itertools.product(outcomes, repeat=BATCH)]
    return np.array(sum(weight * x**2 for weight, x in pairs) - sum(weight * x for weight, x in pairs) ** 2)


PAIRS = Network(
    power=2,
    inputs=((1, 1), (1, -1)),
    probs=(0.5, 0.5),
    logits=(1.5, -1.5),
    weights=((0.5, 1.3), (-1.0, 0.7)),
    velocity=((1.0, -0.5), (0.3, 2.0)),
)
LINEAR = Network(
    power=1,
    inputs=((2, 1), (-1, 1)),
    probs=(0.3, 0.7),
    logits=(1.0, -0.5),
    weights=((0.5, 0.7), (-1.0, 0.8)),
    velocity=((1.0, 1.4), (0.0, 0.0)),
)
"""The velocity is along the gradient of the balance: twice the weights of the first neuron."""
