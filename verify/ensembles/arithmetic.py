"""Compiled building blocks of the kernels: Philox words, the sigmoid, and copies of registers."""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# numba publishes no types, and what is decorated here is compiled by numba instead of being called.

from __future__ import annotations

import math
from typing import Any, no_type_check

import numpy as np
from numba import njit

from verify.ensembles.lanes import (
    BYTES,
    add,
    at_least,
    div,
    exponent_of_shifted,
    fma,
    load,
    mul,
    negative_abs,
    store,
    sub,
    where_negative,
)

LOW, WORD = np.uint64(0xFFFFFFFF), np.uint64(32)
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))


@no_type_check
@njit
def philox(counter, replica, purpose, key_low, key_high):
    """Return the four words of Philox4x32-10 (Salmon et al. 2011) at one counter; see `draws.philox`."""
    x0, x1, x2, x3 = counter & LOW, counter >> WORD, replica, purpose
    for _ in range(10):
        even, odd = MULTIPLIERS[0] * x0, MULTIPLIERS[1] * x2
        x0, x1, x2, x3 = (odd >> WORD) ^ x1 ^ key_low, odd & LOW, (even >> WORD) ^ x3 ^ key_high, even & LOW
        key_low, key_high = (key_low + WEYL[0]) & LOW, (key_high + WEYL[1]) & LOW
    return x0, x1, x2, x3


@no_type_check
@njit
def fill(words, call, calls, replica, key_low, key_high):
    """Write the words of `calls` generator calls for every replica of a group: words[call, word, lane]."""
    for q in range(calls):
        counter = np.uint64(call + q)
        for lane in range(words.shape[2]):
            x0, x1, x2, x3 = philox(counter, np.uint64(replica + lane), np.uint64(0), key_low, key_high)
            words[q, 0, lane], words[q, 1, lane], words[q, 2, lane], words[q, 3, lane] = x0, x1, x2, x3


@no_type_check
@njit
def sigmoid(x, constants):
    """Return σ(x) = 1/(1 + e^{−x}) to a few units in the last place; saturates where e^{−|x|} underflows.

    e^{−|x|} = 2^n e^r with r = −|x| − n ln 2, |r| ≤ ln(2)/2, ln 2 in two parts, and a Taylor polynomial for e^r.
    """
    one = load(constants, 0)
    t = at_least(negative_abs(x), load(constants, 1))
    shift = load(constants, 2)
    shifted = fma(t, load(constants, 3), shift)
    n = sub(shifted, shift)
    r = fma(n, load(constants, 5), fma(n, load(constants, 4), t))
    series = load(constants, 6)
    for row in range(7, load_rows(constants)):
        series = fma(series, r, load(constants, row))
    tail = mul(series, exponent_of_shifted(shifted))
    return div(where_negative(x, tail, one), add(one, tail))


@no_type_check
@njit
def sigmoid_of(x, constants, out):
    """Write σ of an array of registers."""
    for row in range(load_rows(x)):
        store(out, row, sigmoid(load(x, row), constants))


@no_type_check
@njit
def load_rows(array):
    """Return the number of registers in an array."""
    return array.size * array.itemsize // BYTES


def sigmoid_constants(dtype: type[np.floating[Any]]) -> list[float]:
    """Return 1, the underflow bound, the rounding shift, 1/ln 2, −ln 2 in two parts, and 1/k! from high to low."""
    if dtype is np.float32:
        bound, mantissa, high, low, degree = -87.0, 23, 0.693359375, -2.12194440e-4, 7
    else:
        bound, mantissa, degree = -708.0, 52, 13
        high, low = 6.93147180369123816490e-01, 1.90821492927058770002e-10
    taylor = [1 / math.factorial(k) for k in range(degree, -1, -1)]
    return [1.0, bound, 1.5 * 2**mantissa, 1 / math.log(2), -high, -low, *taylor]


@no_type_check
@njit
def copy(source, destination):
    """Copy registers; assignment to a slice would do, at the price of three seconds of compilation."""
    for row in range(load_rows(source)):
        store(destination, row, load(source, row))
