"""Arithmetic of the door: power series against sympy's derivatives, roots and enclosures against known numbers."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction as Q
from typing import Any

import pytest
import sympy as sp
from mpmath import iv

from theory.kernel.door.values import (
    EXACT,
    OpenError,
    UndefinedHereError,
    add,
    base,
    coefficient,
    digits,
    exponential,
    logarithm,
    multiply,
    negative,
    power,
    shifted,
    sign,
    wave,
)

X, Y = sp.symbols("x y")


@pytest.fixture(autouse=True)
def _forty_digits() -> Iterator[None]:
    with digits():
        yield


def agrees(found: Any, expected: sp.Expr) -> bool:
    """Exact values are equal; an enclosure is within 1e-30 of the number, all of it."""
    if isinstance(found, EXACT):
        return bool(sp.Rational(found.numerator, found.denominator) == expected)
    number = iv.mpf(str(sp.N(expected, 60)))  # right to 1e-60 of its size
    return bool(abs(found - number).b <= 1e-30 * max(1, abs(number).b))


SERIES: list[tuple[Callable[[Any], Any], sp.Expr, Q | int]] = [
    (exponential, sp.exp(X), 0),
    (exponential, sp.exp(X), -1),
    (exponential, sp.exp(X), Q(-2, 3)),
    (logarithm, sp.log(X), 1),
    (logarithm, sp.log(X), Q(5, 2)),
    (lambda v: power(v, 3), X**3, Q(-2, 3)),
    (lambda v: power(v, 2), X**2, 0),
    (lambda v: power(v, -2), X**-2, Q(3, 2)),
    (lambda v: power(v, Q(1, 2)), sp.sqrt(X), Q(9, 4)),
    (lambda v: power(v, Q(5, 3)), X ** sp.Rational(5, 3), Q(27, 8)),
    (lambda v: power(v, v), X**X, 2),
    (lambda v: power(2, v), 2**X, 3),
    (lambda v: wave(v, 0), sp.sin(X), Q(1, 3)),
    (lambda v: wave(v, 1), sp.cos(X), 0),
    (lambda v: multiply(v, exponential(negative(power(v, 2)))), X * sp.exp(-(X**2)), Q(1, 2)),
    (lambda v: add(3, negative(v)), 3 - X, 5),
]


@pytest.mark.parametrize(("ours", "theirs", "at"), SERIES)
def test_cross_library_derivatives_of_a_series(ours: Any, theirs: sp.Expr, at: Q | int) -> None:
    series = ours(shifted(at, 0, 3))
    for k in range(4):
        exact = sp.diff(theirs, X, k).subs(X, sp.Rational(at.numerator, at.denominator))
        assert agrees(multiply(math.factorial(k), coefficient(series, 0, k)), exact)
    assert agrees(base(series), theirs.subs(X, sp.Rational(at.numerator, at.denominator)))
    assert coefficient(series, 0, 4) == 0  # cut above the order asked for


def test_closed_form_a_series_in_two_infinitesimals() -> None:
    x, y = shifted(2, 0, 2), shifted(3, 1, 1)
    product = multiply(power(x, 2), power(y, 3))
    assert [[base(coefficient(coefficient(product, 0, i), 1, j)) for j in range(3)] for i in range(4)] == [
        [4 * 27, 4 * 27, 0],
        [4 * 27, 4 * 27, 0],
        [27, 27, 0],
        [0, 0, 0],
    ]
    assert [coefficient(7, 0, order) for order in range(3)] == [7, 0, 0]


@pytest.mark.parametrize(
    ("value", "exponent", "expected"),
    [
        (0, 0, 1), (0, 3, 0), (0, Q(1, 2), 0), (1, Q(7, 3), 1), (4, Q(1, 2), 2), (Q(9, 4), Q(-3, 2), Q(8, 27)),
        (8, Q(1, 3), 2), (Q(1, 27), Q(2, 3), Q(1, 9)), (2, -2, Q(1, 4)), (-8, 3, -512), (-2, -3, Q(-1, 8)),
        (10**14, Q(1, 2), 10**7), (10**30, Q(1, 2), 10**15), (3, 400, 3**400),
    ],
)  # fmt: skip
def test_closed_form_exact_powers(value: Any, exponent: Any, expected: Any) -> None:
    found = power(value, exponent)
    assert isinstance(found, EXACT)
    assert found == expected


@pytest.mark.parametrize(
    ("value", "exponent"),
    [(2, Q(1, 2)), (7, Q(2, 3)), (Q(2, 3), Q(-5, 2)), (2, 401), (-2, 401), (-2, 402), (-3, -401), (10**15, Q(1, 3))],
)
def test_cross_library_enclosed_powers(value: Any, exponent: Any) -> None:
    one, other = (sp.Rational(n.numerator, n.denominator) for n in (Q(value), Q(exponent)))
    found, exact = power(value, exponent), one**other
    number = iv.mpf(str(sp.N(exact, 60)))
    assert found.a <= number.b
    assert number.a <= found.b
    assert abs(found.delta / found).b < 1e-30


def test_cross_library_powers_of_an_exact_number_and_an_enclosure() -> None:
    root = power(2, Q(1, 2))
    assert agrees(power(2, root), 2 ** sp.sqrt(2))
    assert agrees(power(root, Q(1, 2)), sp.sqrt(sp.sqrt(2)))
    assert agrees(power(root, root), sp.sqrt(2) ** sp.sqrt(2))


@pytest.mark.parametrize(("value", "exponent"), [(0, -1), (0, Q(-1, 2)), (-1, Q(1, 2)), (Q(-8), Q(1, 3))])
def test_error_powers_that_have_no_value(value: Any, exponent: Any) -> None:
    with pytest.raises(UndefinedHereError):
        power(value, exponent)


@pytest.mark.parametrize("exponent", [-1, Q(1, 2), Q(-1, 2)])
def test_error_powers_that_an_enclosure_leaves_open(exponent: Any) -> None:
    with pytest.raises(OpenError):
        power(iv.mpf([-1, 1]), exponent)


def test_error_logarithms_and_exponentials() -> None:
    for value in (0, -2, iv.mpf([-2, -1])):
        with pytest.raises(UndefinedHereError):
            logarithm(value)
    with pytest.raises(OpenError):
        logarithm(iv.mpf([-1, 1]))
    with pytest.raises(OpenError):
        exponential(10**21)
    assert exponential(-(10**20)).b < 1e-300


@pytest.mark.parametrize("quarter", range(-1, 6))
def test_cross_library_waves(quarter: int) -> None:
    assert agrees(wave(1, quarter), sp.sin(1 + quarter * sp.pi / 2))
    assert wave(0, quarter) == sp.sin(quarter * sp.pi / 2)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(3, 1), (Q(-1, 7), -1), (0, 0), ([1, 2], 1), ([-2, -1], -1), ([0, 1], None), ([-1, 0], None), ([-1, 1], None)],
)
def test_enumeration_signs(number: Any, expected: int | None) -> None:
    assert sign(iv.mpf(number) if isinstance(number, list) else number) == expected


def test_an_exact_zero_times_an_enclosure_is_exactly_zero() -> None:
    assert isinstance(multiply(0, iv.mpf([1, 2])), int)
    assert isinstance(multiply(iv.mpf([1, 2]), Q(0)), int)
    assert multiply(2, iv.mpf([1, 2])) == iv.mpf([2, 4])
    assert add(iv.mpf([1, 2]), Q(1, 2)) == iv.mpf([1.5, 2.5])


def test_the_precision_is_given_back() -> None:
    before = iv.dps
    with digits(7):
        assert iv.dps == 7
    assert iv.dps == before >= 40
