"""The closed form of a claim as something to evaluate: always the right side of a checked step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import sympy as sp

from theory.kernel import Derivation, Step, logistic, logistic_slope

DIGITS = 30


class ParameterError(ValueError):
    """A parameter is unknown, missing, or outside the domain of the claim."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a closed form and its domain.

    Attributes:
        name: as it is written on the command line.
        symbol: as it is written in the derivation.
        minimum: smallest admissible value; excluded when `strict`.
        strict: whether the minimum itself is excluded.
        step: for an integer parameter, the distance between admissible values counted from the minimum; None
            for a real one.
        below: upper end of the domain, excluded.
        meaning: what it is, with its unit.
    """

    name: str
    symbol: sp.Symbol
    meaning: str
    minimum: float = -float("inf")
    strict: bool = False
    step: int | None = None
    below: float = float("inf")

    def check_symbol(self) -> None:
        """Check that every admissible value has the properties that the derivation assumes of the symbol.

        Raises:
            ValueError: the domain is wider than what was derived.
        """
        whole = self.step is not None and float(self.minimum).is_integer()
        kept = {
            "real": True,
            "finite": True,
            "complex": True,
            "commutative": True,
            "positive": self.minimum > 0 or (self.minimum == 0 and self.strict),
            "nonnegative": self.minimum >= 0,
            "nonzero": self.minimum > 0 or (self.minimum == 0 and self.strict),
            "integer": whole,
            "rational": whole,
            "even": whole and self.minimum % 2 == 0 and (self.step or 1) % 2 == 0,
            "odd": whole and self.minimum % 2 == 1 and (self.step or 1) % 2 == 0,
        }
        for assumption, wanted in self.symbol._assumptions_orig.items():
            if wanted is not None and (not wanted or not kept.get(assumption, False)):
                raise ValueError(
                    f"{self.symbol} is derived for {assumption} = {wanted}, but {self.name} may be {self.domain}; "
                    "narrow the domain of the parameter"
                )

    @property
    def domain(self) -> str:
        """The domain in words."""
        if self.step == 1:
            return f"an integer ≥ {self.minimum:g}"
        if self.step is not None:
            first = ", ".join(f"{self.minimum + k * self.step:g}" for k in range(3))
            return f"one of the integers {first}, …"
        if self.minimum == -float("inf"):
            return "a finite real number"
        upper = f" and < {self.below:g}" if self.below < float("inf") else ""
        return f"a finite real number {'>' if self.strict else '≥'} {self.minimum:g}{upper}"

    def parse(self, text: str | float) -> float | int:
        """Read a value and check its domain.

        Raises:
            ParameterError: not a number, or outside the domain.
        """
        try:
            value = float(text)
        except ValueError as error:
            raise ParameterError(f"{self.name} = {text!r} is not a number; expected {self.domain}") from error
        low = value < self.minimum or (self.strict and value == self.minimum)
        high = value >= self.below
        off_grid = self.step is not None and (value - self.minimum) % self.step != 0
        if not mpmath.isfinite(value) or low or high or off_grid:
            raise ParameterError(f"{self.name} = {text} is outside its domain; expected {self.domain}")
        return value if self.step is None else int(value)


def closed_form(step: str, quantity: str, *parameters: Parameter) -> Callable[[Derivation], Formula]:
    """Return what makes the formula of a step once the derivation that the step is in has been built."""
    return lambda derivation: Formula(derivation[step], parameters, quantity)


@dataclass(frozen=True)
class Formula:
    """A number predicted by a checked step: its right side as a function of named parameters.

    Attributes:
        step: the checked step, an equation; or an inequality whose smaller side is the bound that is attained.
        parameters: its parameters in the order of the command line.
        quantity: what the number is.
    """

    step: Step
    parameters: tuple[Parameter, ...]
    quantity: str

    def __post_init__(self) -> None:
        if type(self.step) is not Step or not self.step.checked:
            name = getattr(self.step, "name", "an unnamed object")
            raise ValueError(f"a prediction is the right side of a checked step; {name!r} is not checked")
        if not isinstance(self.step.statement, sp.Equality | sp.GreaterThan | sp.StrictGreaterThan):
            raise ValueError(f"step {self.step.name!r} has no right side that is a value or a lower bound")
        if self.expression.has(sp.Order):
            raise ValueError(f"the right side of step {self.step.name!r} is known up to {sp.Order} only")
        for parameter in self.parameters:
            parameter.check_symbol()
        undeclared = self.expression.free_symbols - {parameter.symbol for parameter in self.parameters}
        if undeclared:
            raise ValueError(f"the formula of step {self.step.name!r} depends on undeclared {undeclared}")

    @property
    def expression(self) -> sp.Expr:
        """The right side of the step."""
        return self.step.statement.rhs

    def latex(self) -> str:
        """Return the right side in LaTeX."""
        return str(sp.latex(self.expression))

    @property
    def _requirements(self) -> tuple[sp.Basic, ...]:
        """Hypotheses and conditions of the step that speak of the parameters alone."""
        symbols = {parameter.symbol for parameter in self.parameters}
        stated = (premise.statement for premise in self.step.premises if premise.kind in {"hypothesis", "condition"})
        return tuple(s for s in stated if isinstance(s, sp.Basic) and s.free_symbols and s.free_symbols <= symbols)

    @cached_property
    def _function(self) -> Any:
        arguments = [parameter.symbol for parameter in self.parameters]
        explicit = self.expression.replace(logistic, lambda x: 1 / (1 + sp.exp(-x)))
        explicit = explicit.replace(logistic_slope, lambda x: 1 / (2 + sp.exp(x) + sp.exp(-x)))
        return sp.lambdify(arguments, explicit, modules="mpmath")

    def parse(self, values: Mapping[str, str | float]) -> dict[str, float | int]:
        """Check names and domains of the given values.

        Raises:
            ParameterError: the message lists the valid parameters.
        """
        wanted = {parameter.name: parameter for parameter in self.parameters}
        listing = "; ".join(
            f"{parameter.name}: {parameter.meaning}, {parameter.domain}" for parameter in self.parameters
        )
        for problem, names in (("unknown", values.keys() - wanted), ("missing", wanted.keys() - values)):
            if names:
                raise ParameterError(f"{problem} parameter {', '.join(sorted(names))}; the parameters are {listing}")
        parsed = {name: parameter.parse(values[name]) for name, parameter in wanted.items()}
        exact = {parameter.symbol: sp.Rational(parsed[name]) for name, parameter in wanted.items()}
        for requirement in self._requirements:
            if requirement.subs(exact, simultaneous=True) == sp.false:
                raise ParameterError(f"the claim is derived for {requirement} only; the parameters are {listing}")
        return parsed

    def __call__(self, **values: float) -> float:
        """Evaluate with 30 digits and round once to a float."""
        parsed = self.parse(values)
        with mpmath.workdps(DIGITS):
            return float(self._function(*(mpmath.mpf(parsed[parameter.name]) for parameter in self.parameters)))
