"""Arithmetic of the door: exact rationals, enclosures where those end, and truncated power series of either.

A number is exact, an int or a `Fraction`, or an interval of mpmath that encloses it. A `Jet` is Σ c_m ε^m over
monomials in the infinitesimals that derivatives introduce, ε_i^k = 0 for k above the order asked for, so that the
coefficients of f(x + ε) are f^(k)(x)/k!: derivatives without symbolic differentiation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from mpmath import iv

DIGITS = 40
"""Digits of an enclosure: differences of 10⁻³⁰ between numbers of size 1 are seen."""
LARGEST_EXPONENT = 400
EXACT = (int, Fraction)
Number = Any  # exact, or an mpmath interval: mpmath is untyped
Value = Any  # Number or Jet
Monomial = tuple[tuple[int, int], ...]


class UndefinedHereError(Exception):
    """There is no value here: a division by 0, a root or logarithm out of its domain."""


class OpenError(Exception):
    """An enclosure leaves open what must be known, such as whether a denominator is 0."""


@contextmanager
def digits(number: int = DIGITS) -> Iterator[None]:
    """Compute enclosures with so many digits, and give back the precision found."""
    before, iv.dps = iv.dps, number
    try:
        yield
    finally:
        iv.dps = before


def enclosure(number: Number) -> Number:
    """Interval that contains a number."""
    return iv.mpf(number.numerator) / number.denominator if isinstance(number, EXACT) else number


def sign(number: Number) -> int | None:
    """−1, 0 or 1; None when an enclosure contains 0."""
    if isinstance(number, EXACT):
        return (number > 0) - (number < 0)
    return 1 if number.a > 0 else -1 if number.b < 0 else None


class Jet:
    """Σ coefficient · monomial in infinitesimals ε_i, cut above `orders[i]`."""

    __slots__ = ("orders", "terms")

    def __init__(self, terms: dict[Monomial, Number], orders: dict[int, int]) -> None:
        self.terms, self.orders = terms, orders


def base(value: Value) -> Number:
    """A value with every infinitesimal put to 0."""
    return value.terms.get((), 0) if isinstance(value, Jet) else value


def coefficient(value: Value, slot: int, order: int) -> Value:
    """Coefficient of ε_slot^order, a jet in the other infinitesimals if there are any."""
    if not isinstance(value, Jet):
        return value if order == 0 else 0
    kept = {
        tuple(pair for pair in monomial if pair[0] != slot): number
        for monomial, number in value.terms.items()
        if dict(monomial).get(slot, 0) == order
    }
    rest = {other: cap for other, cap in value.orders.items() if other != slot}
    return Jet(kept, rest) if any(kept) else kept.get((), 0)


def shifted(value: Value, slot: int, order: int) -> Value:
    """Return value + ε_slot."""
    return add(value, Jet({((slot, 1),): 1}, {slot: order}))


def _jet(value: Value) -> Jet:
    return value if isinstance(value, Jet) else Jet({(): value}, {})


def add(left: Value, right: Value) -> Value:
    """Sum."""
    if isinstance(left, Jet) or isinstance(right, Jet):
        left, right = _jet(left), _jet(right)
        terms = dict(left.terms)
        for monomial, number in right.terms.items():
            terms[monomial] = add(terms[monomial], number) if monomial in terms else number
        return Jet(terms, left.orders | right.orders)
    if isinstance(left, EXACT) != isinstance(right, EXACT):
        left, right = enclosure(left), enclosure(right)
    return left + right


def multiply(left: Value, right: Value) -> Value:
    """Product; 0 times anything that has a value is 0."""
    if isinstance(left, Jet) or isinstance(right, Jet):
        left, right = _jet(left), _jet(right)
        orders = left.orders | right.orders
        terms: dict[Monomial, Number] = {}
        for one, a in left.terms.items():
            for other, b in right.terms.items():
                powers = dict(one)
                for slot, power in other:
                    powers[slot] = powers.get(slot, 0) + power
                if all(power <= orders[slot] for slot, power in powers.items()):
                    monomial = tuple(sorted(powers.items()))
                    product = multiply(a, b)
                    terms[monomial] = add(terms[monomial], product) if monomial in terms else product
        return Jet(terms, orders)
    if isinstance(left, EXACT) != isinstance(right, EXACT):
        if (left if isinstance(left, EXACT) else right) == 0:
            return 0
        left, right = enclosure(left), enclosure(right)
    return left * right


def negative(value: Value) -> Value:
    """Return −value."""
    return multiply(-1, value)


def _composed(value: Jet, derivatives: Callable[[Number, int], list[Number]]) -> Jet:
    """f(a + u) = Σ f^(k)(a) u^k/k!, u nilpotent."""
    rest = Jet({monomial: number for monomial, number in value.terms.items() if monomial}, value.orders)
    degree = sum(value.orders.values())
    total, powers = Jet({}, value.orders), _jet(1)
    for k, slope in enumerate(derivatives(base(value), degree)):
        total = add(total, multiply(multiply(slope, Fraction(1, math.factorial(k))), powers))
        powers = multiply(powers, rest)
    return total


def exponential(value: Value) -> Value:
    """Return e^value."""
    if isinstance(value, Jet):
        return _composed(value, lambda a, n: [exponential(a)] * (n + 1))
    if value == 0:
        return 1
    if abs(enclosure(value)).b > 10**20:
        raise OpenError
    return iv.exp(enclosure(value))


def logarithm(value: Value) -> Value:
    """Return log value.

    Raises:
        UndefinedHereError: the value is not positive.
        OpenError: an enclosure leaves that open.
    """
    if isinstance(value, Jet):

        def derivatives(a: Number, n: int) -> list[Number]:
            rest = [multiply((-1) ** (k - 1) * math.factorial(k - 1), power(a, -k)) for k in range(1, n + 1)]
            return [logarithm(a), *rest]

        return _composed(value, derivatives)
    _require(sign(value), {1})
    return 0 if value == 1 else iv.log(enclosure(value))


def _require(found: int | None, wanted: set[int]) -> None:
    if found is None:
        raise OpenError
    if found not in wanted:
        raise UndefinedHereError


def power(value: Value, exponent: Any) -> Value:
    """Return value^exponent, real; 0^0 = 1.

    Raises:
        UndefinedHereError: 0 to a negative power, or a negative number to a power that is no integer.
        OpenError: an enclosure leaves that open, or the numbers are too large.
    """
    if isinstance(exponent, Jet):
        return exponential(multiply(exponent, logarithm(value)))
    whole: Any = exponent if isinstance(exponent, EXACT) and exponent.denominator == 1 else None
    if isinstance(value, Jet):
        if whole is not None and 0 <= whole <= LARGEST_EXPONENT:
            result: Value = 1
            for _ in range(int(whole)):
                result = multiply(result, value)
            return result

        def derivatives(a: Number, n: int) -> list[Number]:
            factor, found = 1, []
            for k in range(n + 1):
                lower = add(exponent, -k)
                found.append(multiply(factor, power(a, lower)))
                factor = multiply(factor, lower)
            return found

        return _composed(value, derivatives)
    if whole is not None:
        if whole < 0:
            _require(sign(value), {-1, 1})
        if abs(whole) <= LARGEST_EXPONENT:
            return (Fraction(value) if isinstance(value, int) and whole < 0 else value) ** int(whole)
    if sign(value) == 0:
        _require(sign(exponent), {1})
        return 0
    size, flip = value, False
    if whole is not None:
        flip = sign(value) == -1 and whole % 2 == 1
        size = abs(value)
    _require(sign(size), {1})
    if isinstance(size, EXACT) and isinstance(exponent, EXACT):
        root = _exact_root(size, exponent.denominator)
        if root is not None and -LARGEST_EXPONENT <= exponent <= LARGEST_EXPONENT:
            return Fraction(root) ** exponent.numerator
    magnitude = exponential(multiply(exponent, logarithm(size)))
    return negative(magnitude) if flip else magnitude


def _exact_root(number: int | Fraction, degree: int) -> int | Fraction | None:
    if degree == 1:
        return number
    parts = []
    for part in (number.numerator, number.denominator):
        guess = math.isqrt(part) if degree == 2 else round(part ** (1 / degree)) if part < 10**15 else 0
        if guess**degree != part:
            return None
        parts.append(guess)
    return Fraction(*parts)


def wave(value: Value, quarter: int) -> Value:
    """Return sin(value + quarter · π/2)."""
    if isinstance(value, Jet):
        return _composed(value, lambda a, n: [wave(a, quarter + k) for k in range(n + 1)])
    turn = quarter % 4
    if value == 0:
        return (0, 1, 0, -1)[turn]
    found = (iv.cos if turn % 2 else iv.sin)(enclosure(value))
    return found if turn < 2 else -found
