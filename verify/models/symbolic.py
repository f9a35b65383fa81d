"""A symbolic model as a torch model: what was derived is measured from the same expressions.

The expressions are translated by recursion over their trees with a table of functions; no text is ever executed.
A subexpression that occurs in several scores is evaluated once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from theory.kernel import logistic, logistic_slope
from theory.symbolic import SymbolicModel
from verify.models.model import FiniteModel

Value = Tensor | float


class TranslationError(ValueError):
    """An expression contains something that has no counterpart in torch, or a symbol without a value."""


def evaluate(expr: sp.Expr, values: Mapping[sp.Symbol, Value]) -> Value:
    """Evaluate a sympy expression on tensors, in their dtype and on their device; differentiable to every order.

    Shapes broadcast; an expression without symbols gives a float. relu = Max(0, x) has slope 0 at 0.

    Raises:
        TranslationError: the message names the function or symbol.
    """
    return _evaluate(expr, values, {})


def _evaluate(expr: sp.Expr, values: Mapping[sp.Symbol, Value], memo: dict[sp.Expr, Value]) -> Value:
    if expr in memo:
        return memo[expr]
    if expr.is_Symbol:
        if expr not in values:
            raise TranslationError(f"the symbol {expr} has no value; values are given for {sorted(map(str, values))}")
        return values[expr]
    if expr.is_number and not expr.free_symbols:
        return _number(expr)
    if isinstance(expr, sp.Pow):
        result = _power(expr, _evaluate(expr.base, values, memo), values, memo)
    elif (logit := _log_odds(expr)) is not None:
        result = torch.nn.functional.logsigmoid(_tensor(_evaluate(logit, values, memo)))
    else:
        rule = _RULES.get(expr.func)
        if rule is None:
            known = ", ".join(sorted(function.__name__ for function in _RULES))
            raise TranslationError(f"{expr.func.__name__} in {expr} is not translated; known are {known} and Pow")
        result = rule([_evaluate(arg, values, memo) for arg in expr.args])
    memo[expr] = result
    return result


def _log_odds(expr: sp.Expr) -> sp.Expr | None:
    """Return x where `expr` is log σ(x) or log(1 − σ(x)) = log σ(−x): composed, they overflow for large x."""
    if expr.func is sp.log:
        for probability, sign in ((expr.args[0], 1), (1 - expr.args[0], -1)):
            if isinstance(probability, logistic):
                return sign * probability.args[0]
    return None


def _number(expr: sp.Expr) -> float:
    explicit = expr.replace(logistic, lambda x: 1 / (1 + sp.exp(-x)))
    value = explicit.replace(logistic_slope, lambda x: 1 / (2 + sp.exp(x) + sp.exp(-x))).evalf(30)
    if not value.is_Float and not value.is_Integer and not value.is_Rational:
        raise TranslationError(f"{expr} is not a finite real number")
    return float(value)


def _power(expr: sp.Pow, base: Value, values: Mapping[sp.Symbol, Value], memo: dict[sp.Expr, Value]) -> Value:
    exponent = expr.exp
    if exponent.is_Integer and 0 < exponent <= 4:
        # Products keep every derivative finite at 0, and are exact where pow rounds.
        return reduce(lambda product, _: product * base, range(int(exponent) - 1), base)
    if exponent == sp.Rational(1, 2):
        return _tensor(base).sqrt()
    if exponent.is_number:
        return _tensor(base) ** _number(exponent)
    return torch.pow(_tensor(base), _tensor(_evaluate(exponent, values, memo), like=base))


def _tensor(value: Value, like: Value = 0.0) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.as_tensor(value, dtype=like.dtype if isinstance(like, Tensor) else torch.float64)


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[list[Value]], Value]:
    return lambda arguments: function(_tensor(arguments[0]))


def _extreme(largest: bool) -> Callable[[list[Value]], Value]:
    def rule(arguments: list[Value]) -> Value:
        # Numbers first: where an argument ties with a number the number wins, so relu has slope 0 at 0.
        best, *rest = sorted(arguments, key=lambda value: isinstance(value, Tensor))
        for value in rest:
            loses = _tensor(value) <= best if largest else _tensor(value) >= best
            # best != best: what is not a number stays so, or a diverged replica would look healthy.
            best = torch.where(loses | (best != best), best, value)
        return best

    return rule


def _sum(arguments: list[Value]) -> Value:
    return reduce(lambda total, value: total + value, arguments)


def _product(arguments: list[Value]) -> Value:
    return reduce(lambda total, value: total * value, arguments)


def _heaviside(arguments: list[Value]) -> Value:
    step, at_zero = _tensor(arguments[0]), arguments[1]
    return torch.where(step == 0, at_zero, (step > 0).to(step.dtype))


def _logistic_slope(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)


_RULES: dict[Any, Callable[[list[Value]], Value]] = {
    sp.Add: _sum,
    sp.Mul: _product,
    sp.exp: _unary(torch.exp),
    sp.log: _unary(torch.log),
    sp.tanh: _unary(torch.tanh),
    sp.sinh: _unary(torch.sinh),
    sp.cosh: _unary(torch.cosh),
    sp.erf: _unary(torch.erf),
    sp.sin: _unary(torch.sin),
    sp.cos: _unary(torch.cos),
    sp.Abs: _unary(torch.abs),
    sp.sign: _unary(torch.sign),
    sp.Max: _extreme(largest=True),
    sp.Min: _extreme(largest=False),
    sp.Heaviside: _heaviside,
    logistic: _unary(torch.sigmoid),
    logistic_slope: _unary(_logistic_slope),
}


class SymbolicTorchModel(FiniteModel):
    """The finite model that a `SymbolicModel` defines, with numbers for its constants.

    θ has the order of `SymbolicModel.parameters`; contexts have a column for each context symbol, in order (one
    column of ones if there is none). float64 on the CPU until `to` moves it.

    Args:
        symbolic: the model.
        values: a number for each constant, by name, such as alpha=1.5.

    Raises:
        TranslationError: a constant is missing or unknown, a score cannot be translated, or the constants make a
            context or a token a number that is no probability.
    """

    def __init__(self, symbolic: SymbolicModel, **values: float) -> None:
        named = {symbol.name: symbol for symbol in symbolic.constants}
        if values.keys() != named.keys() or not all(map(math.isfinite, values.values())):
            raise TranslationError(f"{symbolic.name}: expected finite numbers for {sorted(named)}, got {values}")
        self.symbolic = symbolic
        self.constants: dict[sp.Symbol, Value] = {named[name]: float(value) for name, value in values.items()}
        self.name = symbolic.name
        self.layout = dict(symbolic.layout)
        self.contexts = torch.stack([self._numbers([*context.values()] or [sp.S.One]) for context in symbolic.contexts])
        self.context_prob = self._probabilities("contexts", symbolic.context_prob)
        self.conditional = torch.stack([self._probabilities("tokens", row) for row in symbolic.truth])
        self.scores(torch.ones(len(symbolic.parameters), dtype=torch.float64), self.contexts)

    def _numbers(self, exprs: Sequence[sp.Expr]) -> Tensor:
        return torch.stack([_tensor(evaluate(expr, self.constants)) for expr in exprs])

    def _probabilities(self, of: str, exprs: Sequence[sp.Expr]) -> Tensor:
        row = self._numbers(exprs)
        rounding = 8 * len(row) * torch.finfo(row.dtype).eps
        if not (bool((row >= 0).all()) and abs(float(row.sum()) - 1) <= rounding):
            raise TranslationError(
                f"{self.name}: expected non-negative probabilities of {of} that sum to 1, got {row.tolist()} from "
                f"{tuple(exprs)} at {self.constants}; choose other values for the constants"
            )
        return row

    def scores(
        self, theta: Float[Tensor, "*#replica parameter"], contexts: Float[Tensor, "*#replica batch feature"]
    ) -> Float[Tensor, "*replica batch token"]:
        """Return the scores of all tokens, translated from the symbolic ones."""
        table: dict[sp.Symbol, Value] = dict(self.constants)
        # Unbound at once: a slice for each parameter would cost a gradient of the length of θ each.
        table.update(zip(self.symbolic.parameters, theta.unsqueeze(-2).unbind(-1), strict=True))
        table.update(zip(self.symbolic.features, contexts.unbind(-1), strict=bool(self.symbolic.features)))
        memo: dict[sp.Expr, Value] = {}
        blank = torch.zeros_like(theta[..., :1]) + torch.zeros_like(contexts[..., 0])
        return torch.stack([blank + _evaluate(score, table, memo) for score in self.symbolic.scores], dim=-1)
