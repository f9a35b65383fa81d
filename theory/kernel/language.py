"""The language of statements: what a user hands to a derivation is rebuilt from exact sympy types.

A statement is a relation, or a Boolean combination of relations, between values. A value is built from rational
numbers, π, e, symbols, indexed quantities w_j and applications of undefined functions by +, ·, powers, the functions
of `_FUNCTIONS`, Σ and Π over a finite range of integers, and derivatives, at a place as well. Nothing else has a
meaning that every check shares: no subclass of these types, no float, no infinite or non-commutative value, no dummy.
What is rebuilt has no part in common with what was handed over except numbers and symbols, so that changing that later
changes nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, ParamSpec, TypeVar

import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction
from sympy.core.numbers import Exp1, Half, NegativeOne, One, Pi, Zero
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from theory.kernel.failure import CheckFailedError
from theory.kernel.functions import logistic, logistic_slope
from theory.kernel.inequality import RootIsolation, Terms, Termwise

_NUMBERS = {sp.Integer, sp.Rational, Zero, One, NegativeOne, Half}
_CONSTANTS = {Pi, Exp1, BooleanTrue, BooleanFalse}
_INFINITE = {type(sp.oo), type(-sp.oo)}
_FUNCTIONS = {
    sp.exp, sp.log, logistic, logistic_slope, sp.Abs, sp.floor, sp.ceiling, sp.Max, sp.Min, sp.KroneckerDelta,
}  # fmt: skip
_OPERATIONS = {sp.Add, sp.Mul, sp.Pow} | _FUNCTIONS
_RELATIONS = {
    sp.Equality, sp.Unequality, sp.GreaterThan, sp.LessThan, sp.StrictGreaterThan, sp.StrictLessThan,
}  # fmt: skip
_CONNECTIVES = {sp.And, sp.Or, sp.Not, sp.Implies}
_CERTIFICATES = {Terms, RootIsolation, Termwise}
_ASSUMPTIONS = {
    "real", "rational", "integer", "even", "odd", "positive", "negative", "nonnegative", "nonpositive", "nonzero",
    "finite", "complex", "commutative",
}  # fmt: skip
_REAL = sp.Symbol("x", real=True)._assumptions_orig
_NAME = re.compile(r"[^\W\d]\w*[-+']?")
"""Names that no other expression prints as: `w[1]` and `x + y` are names of nothing."""

Meaning = tuple[Any, str]
"""What a name stands for, and that in words."""
P = ParamSpec("P")
R = TypeVar("R")


def entered(method: Callable[P, R]) -> Callable[P, R]:
    """Let a method of a derivation see only what was rebuilt: every argument, copied once.

    Raises:
        CheckFailedError: when called with an argument that has a part outside of the language.
    """

    @functools.wraps(method)
    def with_rebuilt(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            taken = [_argument(value) for value in args]
            named = {name: _argument(value) for name, value in kwargs.items()}
        except (RecursionError, sp.SympifyError, TypeError, ValueError, AttributeError) as failure:
            raise CheckFailedError(f"an argument is no expression of the kernel's language: {failure!r}") from failure
        return method(self, *taken, **named)

    return with_rebuilt  # type: ignore[return-value]


def _argument(value: Any) -> Any:
    """Copy one argument; names and words, alone or in a sequence, and whole numbers stay what they are."""
    if value is None or type(value) in (str, int):
        return value
    if isinstance(value, Iterable) and not isinstance(value, sp.Basic | Mapping):
        return tuple(each if type(each) is str else _part(each) for each in value)
    return _part(value)


def _part(value: Any) -> Any:
    """Copy what a mapping, a sequence or a certificate holds; there is no text in it but names of steps."""
    if type(value) is int:
        return sp.Integer(value)
    if value is sp.oo or value is -sp.oo:  # the point of a limit, the end of an isolating interval
        return value
    if type(value) in _CERTIFICATES:
        return type(value)(**{name: _argument(getattr(value, name)) for name in value.__dataclass_fields__})
    if isinstance(value, Mapping):
        return {key if type(key) is str else _part(key): _part(each) for key, each in value.items()}
    return rebuilt(value)


def rebuilt(node: Any) -> Any:
    """Return a statement or a value of the language, made anew.

    Raises:
        CheckFailedError: it has a part of another type, or a part in a place where it has no meaning.
    """
    kind = type(node)
    if kind in _NUMBERS:
        return sp.Rational(int(node.p), int(node.q))
    if kind in _CONSTANTS:
        return node
    if kind is sp.Symbol:
        return _symbol(node)
    if kind in _RELATIONS:
        return kind(*map(_value, node.args), evaluate=False)
    if kind in _CONNECTIVES:
        return kind(*map(_claim, node.args))
    if kind in _OPERATIONS:
        return kind(*map(_value, node.args), **({} if kind is sp.KroneckerDelta else {"evaluate": False}))
    if kind is sp.Sum or kind is sp.Product:
        limits = [(_variable(node, limit[0]), *map(_value, limit[1:])) for limit in node.limits]
        return kind(_value(node.function), *limits)
    if kind is sp.Derivative:
        counts = [(_variable(node, variable), sp.Integer(int(count))) for variable, count in node.variable_count]
        return sp.Derivative(_value(node.expr), *counts, evaluate=False)
    if kind is sp.Subs:
        return _derivative_at(node)
    if kind is sp.IndexedBase:
        return sp.IndexedBase(_symbol(node.label)) if node.shape is None else _refuse(node, "an array of fixed shape")
    if kind is sp.Indexed:
        return sp.Indexed(rebuilt(node.base), *map(_value, node.indices))
    if type(kind) is UndefinedFunction and kind.__bases__ == (AppliedUndef,):
        return _head(kind)(*map(_value, node.args))
    return _refuse(node, f"of type {kind.__module__}.{kind.__name__}")


def _derivative_at(node: sp.Subs) -> sp.Subs:
    """A derivative at a place: the variables must be real and no more, so that the place may be any number."""
    if type(node.expr) is not sp.Derivative or any(symbol._assumptions_orig != _REAL for symbol in node.variables):
        _refuse(node, "a substitution, and no derivative at a place along symbols that are real and nothing else")
    places = tuple(map(_value, node.point))
    return sp.Subs(rebuilt(node.expr), tuple(_variable(node, symbol) for symbol in node.variables), places)


def _refuse(node: Any, what: str) -> NoReturn:
    raise CheckFailedError(
        f"{node!r} is {what}, which is not in the language of statements; write it with exact numbers, symbols and "
        f"the operations that theory.kernel.language lists"
    )


def _value(node: Any) -> Any:
    made = rebuilt(node)
    return made if isinstance(made, sp.Expr) and type(made) is not sp.IndexedBase else _refuse(node, "no value")


def _claim(node: Any) -> Any:
    made = rebuilt(node)
    return made if type(made) in _RELATIONS | _CONNECTIVES else _refuse(node, "no relation")


def _variable(node: sp.Basic, symbol: Any) -> sp.Symbol:
    return _symbol(symbol) if type(symbol) is sp.Symbol else _refuse(node, f"over {symbol!r}, no symbol")


def _symbol(symbol: sp.Symbol) -> sp.Symbol:
    if type(symbol) is not sp.Symbol:
        _refuse(symbol, f"of type {type(symbol).__name__}")
    stated = {name: value for name, value in symbol._assumptions_orig.items() if value is not None}
    _check_name(symbol, symbol.name, stated)
    return sp.Symbol(symbol.name, **stated)


def _head(head: Any) -> Any:
    """Make the head f of f(x) anew, of its name and what it is assumed to be: all else it carries is dropped."""
    known = {name: value for name, value in head._kwargs.items() if name in _ASSUMPTIONS and value}
    _check_name(head, head.name, known)
    if set(head._kwargs) - set(sp.Symbol("f", **known).assumptions0):
        _refuse(head, f"a function with properties of its own, {sorted(head._kwargs)}")
    return sp.Function(head.name, **known)


def _check_name(named: Any, name: Any, stated: Mapping[str, Any]) -> None:
    if type(name) is not str or not _NAME.fullmatch(name):
        _refuse(named, "named like an expression and not like a name")
    odd = {key for key, value in stated.items() if key not in _ASSUMPTIONS or value is not True}
    if odd:
        _refuse(named, f"assumed to be what the kernel does not know: {', '.join(sorted(odd))} (or not so)")


def check_statement(statement: object) -> None:
    """Check that something can be true or false.

    Raises:
        CheckFailedError: it is no relation, and no Boolean combination of relations.
    """
    if statement in (sp.true, sp.false):
        raise CheckFailedError(f"sympy folded the statement to {statement}; state it unevaluated")
    if type(statement) not in {str} | _RELATIONS | _CONNECTIVES:
        raise CheckFailedError(f"expected a relation such as Eq(x, y) or Ge(x, 0), got {statement!r}")


def check_names(statement: sp.Basic, known: Mapping[str, Meaning]) -> dict[str, Meaning]:
    """Return the names of a derivation with those of a statement: x, x_j and x(…) each stand for one thing.

    Raises:
        CheckFailedError: a name stands for symbols of different assumptions, or for two functions.
    """
    found = dict(known)
    labels = {base.label for base in statement.atoms(sp.IndexedBase)}
    for symbol in statement.atoms(sp.Symbol) - labels:
        _one_meaning(found, symbol.name, symbol, _assumed(symbol))
    for label in labels:
        _one_meaning(found, f"{label.name}[…]", label, _assumed(label))
    for applied in statement.atoms(AppliedUndef):
        head, arity = applied.func, len(applied.args)
        real = "real values" if applied.is_real else "values"
        _one_meaning(found, f"{head.__name__}(…)", (head, arity), f"a function of {arity} arguments with {real}")
    return found


def _assumed(symbol: sp.Symbol) -> str:
    return f"assumed to be {', '.join(sorted(symbol._assumptions_orig)) or 'nothing'}"


def _one_meaning(found: dict[str, Meaning], name: str, meant: Any, shown: str) -> None:
    other, said = found.setdefault(name, (meant, shown))
    if other != meant:
        raise CheckFailedError(f"{name} stands for two things, {said} and {shown}; rename one")
