"""Compiled SGD steps of a two-layer network, one replica per SIMD lane; numba, so no C compiler is needed.

A *group* is the replicas of one register: 16 in float32, 8 in float64. Arrays of a group hold one register per row:
`theta` has rows [a (m), then (w_j, b_j) for every neuron j], `velocity` likewise, `hidden` one row per neuron,
`features` one per input, `target` one.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# numba publishes no types, and what is decorated here is compiled by numba instead of being called.

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources
from typing import Any, no_type_check

import numpy as np
from numba import njit

from verify.ensembles.arithmetic import copy, fill, load_rows, sigmoid
from verify.ensembles.lanes import add, fma, load, mul, splat, store, sub, where_positive

IDENTITY, SQUARE, RELU = 0, 1, 2

BUFFERED_CALLS = 32
"""Generator calls made at once, two samples each."""

CHECKED_STEPS = 64
"""Steps between two looks for a parameter that is not finite."""


def compile_cached(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` compiled without the interpreter lock, cached on disk where some directory is writable."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return njit(nogil=True)(function)


@no_type_check
@njit
def choose_contexts(words, contexts, cumulative, chosen):
    """Write the contexts that a group's words select; see `draws.DrawTables`."""
    if cumulative.size == 0:
        for lane in range(chosen.size):
            chosen[lane] = (np.int64(words[lane]) * contexts) >> 32
        return
    for lane in range(chosen.size):
        low, high = 0, contexts - 1
        while low < high:
            middle = (low + high) >> 1
            if np.int64(words[lane]) < cumulative[middle]:
                high = middle
            else:
                low = middle + 1
        chosen[lane] = low


@no_type_check
@njit
def choose_targets(words, thresholds, soft, sampled, chosen, target):
    """Write the labels that a group's words select, 1 for token +1, or the soft targets."""
    if sampled:
        for lane in range(chosen.size):
            target[lane] = np.int64(words[lane]) >= thresholds[chosen[lane]]
    else:
        for lane in range(chosen.size):
            target[lane] = soft[chosen[lane]]


@no_type_check
@njit
def place_features(chosen, table, features):
    """Copy the features of every lane's context."""
    lanes = chosen.size
    fan_in = load_rows(features)
    for lane in range(lanes):
        start = chosen[lane] * fan_in
        for i in range(fan_in):
            features[i * lanes + lane] = table[start + i]


@no_type_check
@njit
def descend(theta, into, hidden, features, target, constants, activation, width, rate):
    """Add −rate (σ(f) − target) ∇f to `into`, the gradient taken at `theta`; the two may be the same array."""
    fan_in = load_rows(features)
    one = load(constants, 0)
    f = sub(one, one)
    for j in range(width):
        row = width + j * fan_in
        h = mul(load(theta, row), load(features, 0))
        for i in range(1, fan_in):
            h = fma(load(theta, row + i), load(features, i), h)
        store(hidden, j, h)
        if activation == SQUARE:
            h = mul(h, h)
        elif activation == RELU:
            h = where_positive(h, h)
        f = fma(load(theta, j), h, f)
    step = mul(splat(one, -rate), sub(sigmoid(f, constants), load(target, 0)))
    for j in range(width):
        row = width + j * fan_in
        h = load(hidden, j)
        value, slope = h, one
        if activation == SQUARE:
            value, slope = mul(h, h), add(h, h)
        elif activation == RELU:
            value, slope = where_positive(h, h), where_positive(h, one)
        inner = mul(step, mul(load(theta, j), slope))
        store(into, j, fma(step, value, load(into, j)))
        for i in range(fan_in):
            store(into, row + i, fma(inner, load(features, i), load(into, row + i)))


@no_type_check
@njit
def advance(state, draws, options, scratch, replica, first, steps):
    """Take `steps` steps of SGD with one group, the first of them being number `first`."""
    theta, velocity = state
    table, cumulative, thresholds, soft, weights, key_low, key_high = draws
    activation, width, batch_size, sampled, rate, momentum = options
    hidden, features, target, constants, chosen, words = scratch
    full = weights.size > 0
    samples = weights.size if full else batch_size
    in_place = samples == 1 and momentum == 0
    into = theta if in_place else velocity
    last = (first + steps) * batch_size
    call, filled, buffered, word = 0, 0, 0, 0
    for k in range(first, first + steps):
        if not in_place:
            decay = splat(load(constants, 0), momentum)
            for row in range(load_rows(theta)):
                store(velocity, row, mul(decay, load(velocity, row)))
        for b in range(samples):
            scale = rate / batch_size
            if full:
                scale = rate * weights[b]
                for lane in range(chosen.size):
                    chosen[lane] = b
            else:
                sample = k * batch_size + b
                if sample >> 1 >= filled:
                    call = sample >> 1
                    filled = min(call + words.shape[0], ((last - 1) >> 1) + 1)
                    fill(words, call, filled - call, replica, key_low, key_high)
                buffered, word = (sample >> 1) - call, 2 * (sample & 1)
                choose_contexts(words[buffered, word], soft.size, cumulative, chosen)
            choose_targets(words[buffered, word + 1], thresholds, soft, sampled, chosen, target)
            place_features(chosen, table, features)
            descend(theta, into, hidden, features, target, constants, activation, width, scale)
        if not in_place:
            for row in range(load_rows(theta)):
                store(theta, row, add(load(theta, row), load(velocity, row)))


@no_type_check
@njit
def newly_infinite(theta, lanes, end):
    """Return whether some lane that was finite so far, end[lane] < 0, holds a value that is not finite."""
    found = False
    for lane in range(lanes):
        found |= end[lane] < 0 and not is_finite(theta, lanes, lane)
    return found


@no_type_check
@njit
def is_finite(theta, lanes, lane):
    """Return whether every parameter of one lane is finite."""
    total = theta[lane] - theta[lane]
    for place_in_theta in range(lane, theta.size, lanes):
        total += theta[place_in_theta] - theta[place_in_theta]
    return total == 0


def source_digest() -> str:
    """Return the SHA-256 of the sources that `run_group` is compiled from.

    Numba watches the date of one file only, and wheels give every file the same date: without the digest an update
    of the package could go on using what an older one compiled.
    """
    sources = resources.files("verify.ensembles")
    names = ("lanes.py", "arithmetic.py", "kernels.py")
    return hashlib.sha256(b"".join(sources.joinpath(name).read_bytes() for name in names)).hexdigest()


@no_type_check
def _build_run_group(digest):
    """Return `run_group`, compiled for the sources that have this digest."""

    def run_group(state, draws, options, scratch, saved, end, survivors, replica, first, steps):
        """Advance one group, and find the exact step at which a replica stops being finite.

        Every `CHECKED_STEPS` steps the parameters are looked at. If a replica diverged since, the group goes back to
        the last check and repeats the steps one at a time: the draws depend on the step alone, so the path is the same.
        `end[lane]` becomes the number of steps after which θ is not finite, and `survivors` its last finite θ.
        """
        _ = digest  # naming it makes it part of numba's cache key
        theta, velocity = state
        saved_theta, saved_velocity = saved
        lanes = end.size
        done, repeat_until = 0, 0
        while done < steps:
            count = 1 if done < repeat_until else min(CHECKED_STEPS, steps - done)
            copy(theta, saved_theta)
            copy(velocity, saved_velocity)
            advance(state, draws, options, scratch, replica, first + done, count)
            if newly_infinite(theta, lanes, end):
                if count > 1:
                    copy(saved_theta, theta)
                    copy(saved_velocity, velocity)
                    repeat_until = done + count
                    continue
                for lane in range(lanes):
                    if end[lane] < 0 and not is_finite(theta, lanes, lane):
                        end[lane] = first + done + 1
                        for row in range(load_rows(theta)):
                            survivors[lane, row] = saved_theta[row * lanes + lane]
            done += count

    return compile_cached(run_group)


run_group = _build_run_group(source_digest())
