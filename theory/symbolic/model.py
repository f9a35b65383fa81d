r"""A small model in symbols: its loss, minimisers, curvature, gradient noise and slow flow, from one definition.

A model is a list of scores s_y(θ, x), one for each token y, with p_θ(y | x) = softmax(s)_y, a finite list of contexts
x with probabilities π(x), and the true conditional p*(y | x). Everything else follows:

    L = −E Σ_y p*_y log p_y,   Γ = {s_y − s_0 = log(p*_y/p*_0) for all x, y},
    H = E[Σ_y p_y ∇s_y∇s_yᵀ − s̄ s̄ᵀ + Σ_y (p_y − p*_y) ∇²s_y],   s̄ = Σ_y p_y ∇s_y;

on Γ the last term is 0 and H is the covariance of the gradient (`noise-covariance`). The slow flow is −c P_T ∇ tr H
with the derived constant c = ¼ (`slow-flow`). Second derivatives of relu are those off its kinks, and relu'(0) = 0.

A model of one's own, two factors shared by two contexts of which one is three times as likely:

>>> import sympy as sp
>>> from theory.kernel.functions import logistic
>>> u, v, z = sp.symbols("u v z", real=True)
>>> alpha = sp.Symbol("alpha", real=True)
>>> model = SymbolicModel(
...     name="twice",
...     parameters=(u, v),
...     scores=(0, u * v * z),
...     contexts=({z: 1}, {z: 2}),
...     context_prob=(sp.Rational(3, 4), sp.Rational(1, 4)),
...     conditional=(1 - logistic(alpha * z), logistic(alpha * z)),
...     constants=(alpha,),
... )
>>> model.manifold
(Eq(u*v, alpha),)
>>> sp.factor(model.trace_on_manifold)
(u**2 + v**2)*(3*logistic_slope(alpha) + 4*logistic_slope(2*alpha))/4
>>> du, dv = model.slow_flow()
>>> sp.factor(sp.simplify(2 * u * du - 2 * v * dv))  # the imbalance u² − v² decays
-(u - v)*(u + v)*(3*logistic_slope(alpha) + 4*logistic_slope(2*alpha))/4

`verify.models.symbolic.SymbolicTorchModel(model, alpha=1.5)` measures the same model.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from functools import cached_property

import sympy as sp

from theory.kernel import logistic, logistic_slope
from theory.symbolic.definition import SymbolicDefinition, SymbolicModelError
from theory.symbolic.emptiness import contradiction

__all__ = ["SymbolicModel", "SymbolicModelError"]


class SymbolicModel(SymbolicDefinition):
    """A family of conditionals over finitely many contexts, and all that follows from it.

    Args, checks and errors are those of `SymbolicDefinition`: name, parameters, scores, contexts, conditional,
    context_prob, constants, layout.
    """

    def _repr_latex_(self) -> str:
        """Show the scores, Γ and tr H on it, as a notebook does."""
        symbols = ", ".join(map(sp.latex, self.parameters))
        lines = [rf"s_{{\theta}} &= {sp.latex(self.scores)}, \quad \theta = ({symbols})"]
        try:
            lines += [rf"\Gamma:\ {sp.latex(c.lhs)} &= {sp.latex(c.rhs)}" for c in self.manifold]
            lines.append(rf"\operatorname{{tr}} H|_\Gamma &= {sp.latex(self.trace_on_manifold)}")
        except SymbolicModelError:
            lines.append(r"\Gamma &= \emptyset")
        return r"$$\begin{aligned}" + r"\\ ".join(lines) + r"\end{aligned}$$"

    @cached_property
    def loss(self) -> sp.Expr:
        """L(θ) = −E Σ_y p*_y log p_y, in nats."""
        return self._mean(
            sp.log(sp.Add(*map(sp.exp, scores))) - sp.Add(*(p * s for p, s in zip(truth, scores, strict=True)))
            for scores, truth in zip(self.context_scores, self.truth, strict=True)
        )

    @cached_property
    def entropy_floor(self) -> sp.Expr:
        """L* = E H(p*), in nats."""
        return self._mean(sp.Add(*(-p * sp.log(p) for p in row if p != 0)) for row in self.truth)

    @cached_property
    def manifold(self) -> tuple[sp.Equality, ...]:
        """Γ as equations in θ: s_y − s_0 = log(p*_y/p*_0) at every context, without repetitions.

        Raises:
            SymbolicModelError: a token is impossible, or the conditions contradict each other, so far as
                `emptiness.contradiction` tells.
        """
        found: dict[sp.Expr, sp.Equality] = {}
        for scores, truth in zip(self.context_scores, self.truth, strict=True):
            for score, p in zip(scores[1:], truth[1:], strict=True):
                if p == 0 or truth[0] == 0:
                    raise SymbolicModelError(f"{self.name}: no θ attains the probability 0 in {truth}; Γ is empty")
                residual = sp.expand(score - scores[0] - log_ratio(p, truth[0]))
                if residual == 0:
                    continue
                if not residual.free_symbols & set(self.parameters):
                    if sp.simplify(sp.expand_log(residual, factor=True)) == 0:
                        continue
                    raise SymbolicModelError(f"{self.name}: {residual} = 0 has no parameter in it; Γ is empty")
                monic = self._monic(residual)
                constant = monic.as_independent(*self.parameters, as_Add=True)[0]
                found.setdefault(monic, sp.Equality(monic - constant, -constant, evaluate=False))
        if (zero := contradiction(list(found), self.parameters)) is not None:
            conditions = ", ".join(map(str, found.values()))
            raise SymbolicModelError(
                f"{self.name}: expected conditions on θ that can hold together, got {conditions}, of which {zero} = 0 "
                "is a consequence that cannot hold; Γ is empty: choose scores that can take the values log(p*_y/p*_0)"
            )
        return tuple(found.values())

    @cached_property
    def gradient(self) -> sp.Matrix:
        """∇L(θ), a column."""
        return sp.Matrix([derivative(self.loss, symbol) for symbol in self.parameters])

    @cached_property
    def hessian(self) -> sp.Matrix:
        """∇²L(θ), at every θ off the kinks."""
        size = len(self.parameters)
        return sp.Matrix(size, size, lambda i, j: derivative(self.gradient[max(i, j)], self.parameters[min(i, j)]))

    @cached_property
    def trace_hessian(self) -> sp.Expr:
        """Trace of ∇²L(θ), at every θ off the kinks."""
        return sp.Add(*(derivative(g, symbol) for g, symbol in zip(self.gradient, self.parameters, strict=True)))

    @cached_property
    def hessian_on_manifold(self) -> sp.Matrix:
        """H on Γ: E[Σ_y p*_y ∇s_y∇s_yᵀ − s̄ s̄ᵀ] = E Σ_{y<y'} p*_y p*_y' (∇s_y − ∇s_y')(∇s_y − ∇s_y')ᵀ."""
        size = len(self.parameters)
        total = sp.zeros(size, size)
        for weight, column in self._weighted_differences:
            total += weight * column * column.T
        return total.applyfunc(sp.expand)

    @cached_property
    def trace_on_manifold(self) -> sp.Expr:
        """Trace of H on Γ: E Σ_{y<y'} p*_y p*_y' ‖∇s_y − ∇s_y'‖²; holds on Γ only."""
        return sp.expand(sp.Add(*(weight * column.dot(column) for weight, column in self._weighted_differences)))

    @cached_property
    def gradient_noise(self) -> sp.Matrix:
        """Cov(∇ℓ) of one sample, context and label drawn from the truth, at every θ; a batch B divides it by B."""
        size = len(self.parameters)
        second, mean = sp.zeros(size, size), sp.zeros(size, 1)
        for prob, scores, truth in zip(self.context_prob, self.context_scores, self.truth, strict=True):
            log_partition = sp.log(sp.Add(*map(sp.exp, scores)))
            for score, p in zip(scores, truth, strict=True):
                column = sp.Matrix([derivative(log_partition - score, symbol) for symbol in self.parameters])
                second += prob * p * column * column.T
                mean += prob * p * column
        return second - mean * mean.T

    @cached_property
    def normals(self) -> sp.Matrix:
        """Gradients of the conditions of Γ, a row each, generically independent.

        Raises:
            SymbolicModelError: the conditions have kinks, so that the rank depends on where one is.
        """
        rows = sp.Matrix([self._row(condition) for condition in self.manifold])
        if rows.has(sp.Heaviside):
            raise SymbolicModelError(f"{self.name}: the tangent space depends on the active units; use slow_flow_at")
        source = random.Random(0)
        drawn = {s: sp.Rational(source.randint(1, 97), 11) for s in sorted(rows.free_symbols, key=str)}
        return rows.extract(list(rows.subs(drawn).T.rref()[1]), list(range(rows.cols)))

    def tangent_projection(self) -> sp.Matrix:
        """P_T = 1 − Jᵀ(JJᵀ)⁻¹J, with J the gradients of the conditions of Γ."""
        return _tangent_projection(self.normals)

    def slow_flow(self, constant: sp.Expr | None = None) -> sp.Matrix:
        """Return dθ/dτ = −c P_T ∇ tr H on Γ, τ = kη²/B.

        Args:
            constant: c; by default the one derived by the claim `slow-flow` (deriving takes seconds, once).
        """
        return -_flow_constant(constant) * _tangential(self.normals, self._slope)

    def slow_flow_at(self, point: Mapping[sp.Symbol, sp.Expr], constant: sp.Expr | None = None) -> sp.Matrix:
        """Return the slow flow at one exact point of Γ, also where units have kinks elsewhere.

        Raises:
            SymbolicModelError: the point leaves a parameter open or does not lie on Γ.
        """
        values = {symbol: sp.sympify(value) for symbol, value in point.items()}
        missing = set(self.parameters) - values.keys()
        if missing:
            names = ", ".join(sorted(map(str, missing)))
            raise SymbolicModelError(f"{self.name}: expected a value for every parameter; {names} have none")
        for condition in self.manifold:
            off = sp.simplify((condition.lhs - condition.rhs).subs(values))
            if off != 0:
                raise SymbolicModelError(f"{self.name}: the point is not on Γ: {condition} is off by {off}")
        rows = sp.Matrix([self._row(condition) for condition in self.manifold]).subs(values)
        independent = rows.extract(list(rows.T.rref()[1]), list(range(rows.cols)))
        return -_flow_constant(constant) * _tangential(independent, self._slope.subs(values))

    def _monic(self, residual: sp.Expr) -> sp.Expr:
        """Divide by the leading coefficient, so that a condition and its multiples are one."""
        try:
            return sp.Poly(residual, *self.parameters).monic().as_expr()
        except sp.PolynomialError:
            return residual

    @cached_property
    def _slope(self) -> sp.Matrix:
        return sp.Matrix([derivative(self.trace_on_manifold, symbol) for symbol in self.parameters])

    def _row(self, condition: sp.Equality) -> list[sp.Expr]:
        return [derivative(condition.lhs - condition.rhs, symbol) for symbol in self.parameters]

    @cached_property
    def _weighted_differences(self) -> list[tuple[sp.Expr, sp.Matrix]]:
        """π(x) p*_y p*_y' and ∇s_y − ∇s_y', for every context and every pair of tokens; errors as in `manifold`."""
        _ = self.manifold  # there is nothing on an empty one
        found = []
        for prob, scores, truth in zip(self.context_prob, self.context_scores, self.truth, strict=True):
            for y, second in enumerate(scores):
                for x, first in enumerate(scores[:y]):
                    column = sp.Matrix([derivative(second - first, symbol) for symbol in self.parameters])
                    found.append((prob * joint_variance(truth[x], truth[y]), column))
        return found

    def _mean(self, values: Iterable[sp.Expr]) -> sp.Expr:
        return sp.Add(*(prob * value for prob, value in zip(self.context_prob, values, strict=True)))


def derivative(expr: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """∂expr/∂symbol off the kinks, with relu'(0) = 0."""
    raw = sp.diff(expr, symbol)
    return raw.replace(sp.DiracDelta, lambda *_: sp.S.Zero).replace(sp.Heaviside, lambda x, *_: sp.Heaviside(x, 0))


def log_ratio(numerator: sp.Expr, denominator: sp.Expr) -> sp.Expr:
    """Log(p/q), with log σ(x)/(1 − σ(x)) = x."""
    explicit = (numerator / denominator).replace(logistic, lambda x: sp.exp(x) / (1 + sp.exp(x)))
    return sp.expand_log(sp.log(sp.powsimp(sp.simplify(explicit))))


def joint_variance(first: sp.Expr, second: sp.Expr) -> sp.Expr:
    """P·q of two tokens, with σ(x)(1 − σ(x)) = σ'(x)."""
    for p, q in ((first, second), (second, first)):
        if isinstance(p, logistic) and sp.expand(p + q) == 1:
            return logistic_slope(*p.args)
    return first * second


def _tangential(normals: sp.Matrix, vector: sp.Matrix) -> sp.Matrix:
    """Vector less its components along the rows of `normals`."""
    if not normals.rows:
        return vector
    gram = normals * normals.T
    return vector - normals.T * (gram.adjugate() * (normals * vector)) / gram.det()


def _tangent_projection(normals: sp.Matrix) -> sp.Matrix:
    return _tangential(normals, sp.eye(normals.cols))


def _flow_constant(constant: sp.Expr | None) -> sp.Expr:
    if constant is not None:
        return sp.sympify(constant)
    from theory.claims.noise import slow_flow  # imports every claim it rests on

    return slow_flow.CLAIM.formula().expression
