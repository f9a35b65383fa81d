"""Closed form, exhaustive enumeration and mutant tests of the flattest bracket net and of where the theorem stops."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
import sympy as sp

from theory.claims.minima.bracket_counterexamples import contexts
from theory.claims.minima.bracket_language import T
from theory.claims.minima.flattest_brackets import CLAIM, root, words
from theory.kernel import CheckFailedError, Derivation, Terms, logistic

Vectors = np.ndarray


def slope(logit: float) -> float:
    return 1 / (2 + math.exp(logit) + math.exp(-logit))


def table(length: int, *, nested: bool = False) -> tuple[Vectors, Vectors]:
    rows, tokens = zip(*contexts(length, nested=nested), strict=True)
    return np.array(rows), np.array(tokens)


def trace(a: Vectors, w: Vectors, beta: Vectors, z: Vectors, logit: float, *, biased: bool) -> float:
    v = z @ w.T + beta
    squared = np.maximum(v, 0) ** 2 + a**2 * (z.shape[1] - 1 + biased) * (v > 0)
    return slope(logit) * float(squared.sum(1).mean())


def flat_directions(length: int, largest: int, *, nested: bool) -> set[tuple[int, ...]]:
    """Integer w up to |w_i| ≤ largest, a > 0, that meet all conditions for equality and are open somewhere."""
    z, y = table(length, nested=nested)
    grid = np.array(list(product(range(-largest, largest + 1), repeat=length)))
    response = np.maximum(grid @ z.T, 0)
    full = response.max(1, keepdims=True)
    keeps = ((response == 0) | ((response == full) & (y == 1))).all(1) & (full[:, 0] > 0)
    return {tuple(int(x) for x in w) for w in grid[keeps]}


def test_closed_form_predictions() -> None:
    assert CLAIM.predict(T=6, alpha=1.5) == pytest.approx(2 * 1.5 * math.sqrt(5) * slope(1.5), rel=1e-15)
    assert CLAIM.predict("squared", T=6) == pytest.approx(4 * math.sqrt(5), rel=1e-15)


def test_closed_form_equality_conditions_are_those_used_for_uniqueness() -> None:
    names = {str(factor) for factor in CLAIM.derivation["bound"].equality}
    assert names == {"(-sqrt(T - 1)*b[j] + r[j, c])*s[j, c]", "b[j]*h[j, c]*r[j, c]"}


@pytest.mark.parametrize("length", [4, 6, 8])
@pytest.mark.parametrize("shares", [(1, 1), (1, 3), (4, 2)])
def test_enumeration_every_split_of_the_margin_attains_the_bound(length: int, shares: tuple[int, int]) -> None:
    logit = 1.3
    generator = np.random.default_rng(length)
    z, y = table(length)
    a, w = [], []
    for sign, count in zip((1, -1), shares, strict=True):
        kappas = np.sqrt(logit * math.sqrt(length - 1) * generator.dirichlet(np.ones(count)))
        a += [sign * k / math.sqrt(length - 1) for k in kappas]
        w += [-sign * k * np.ones(length) for k in kappas]
    heads, rows = np.array(a), np.array(w)
    assert np.maximum(z @ rows.T, 0) @ heads == pytest.approx(logit * y, rel=1e-13)
    measured = trace(heads, rows, np.zeros(len(a)), z, logit, biased=False)
    assert measured == pytest.approx(CLAIM.predict(T=length, alpha=logit), rel=1e-13)


@pytest.mark.parametrize(("length", "largest"), [(4, 3), (6, 2)])
def test_enumeration_balanced_words_leave_one_direction(length: int, largest: int) -> None:
    found = flat_directions(length, largest, nested=False)
    assert found == {(-k,) * length for k in range(1, largest + 1)}


def test_enumeration_words_of_length_two_leave_lookup_tables() -> None:
    assert flat_directions(2, 1, nested=False) == {(-1, -1), (-1, 0), (0, -1)}


@pytest.mark.parametrize(("length", "largest"), [(2, 2), (4, 2), (6, 2)])
def test_enumeration_nested_words_leave_other_directions(length: int, largest: int) -> None:
    found = flat_directions(length, largest, nested=True)
    assert (-2,) * (length - 1) + (-1,) in found
    z, _ = table(length, nested=True)
    # The witness has no pre-activation 0: the loss is smooth there.
    assert (z @ np.array([-2] * (length - 1) + [-1]) != 0).all()


@pytest.mark.parametrize("length", [2, 4, 6])
def test_enumeration_swaps_and_moves_within_a_class_exist_exactly_from_four_on(length: int) -> None:
    z, y = table(length)
    positive = {tuple(row) for row in z[y == 1]}
    for first, second in combinations(range(length), 2):

        def exchanged(row: tuple[int, ...], first: int = first, second: int = second) -> tuple[int, ...]:
            swapped = list(row)
            swapped[first], swapped[second] = row[second], row[first]
            return tuple(swapped)

        pairs = {(row[first], row[second]) for row in positive if exchanged(row) in positive}
        assert (0, -1) in pairs
        assert ((1, -1) in pairs) == (length >= 4)


@pytest.mark.parametrize("length", [4, 6])
def test_enumeration_memorising_neurons_with_a_bias_attain_their_bound(length: int) -> None:
    logit = 0.8
    z, y = table(length)
    height = math.sqrt(logit * math.sqrt(length))
    w, beta = 2 * height * z, np.full(len(z), height - 2 * height * (length - 1))
    a = y * height / math.sqrt(length)
    assert np.maximum(z @ w.T + beta, 0) @ a == pytest.approx(logit * y, rel=1e-13)
    assert ((z @ w.T + beta > 0).sum(0) == 1).all()
    expected = 2 * logit * math.sqrt(length) * slope(logit)
    assert trace(a, w, beta, z, logit, biased=True) == pytest.approx(expected, rel=1e-13)
    # and so does the net of two neurons that reads Σz: flatness does not tell the two apart
    scale = np.array([[-1.0], [1.0]]) * height / 2
    aligned = trace(
        np.array([1, -1]) * height / math.sqrt(length),
        scale * np.ones((2, length)),
        np.full(2, height / 2),
        z,
        logit,
        biased=True,
    )
    assert aligned == pytest.approx(expected, rel=1e-13)


def test_mutant_curvature_off_the_minimisers_keeps_the_residual() -> None:
    t, p = sp.Symbol("t", real=True), sp.Symbol("p", positive=True)
    f = sp.Function("f", real=True)(t)
    loss = sp.log(1 + sp.exp(f)) - p * f
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").identity(
            "curvature",
            sp.Eq(sp.diff(loss, t, 2), logistic(f) * (1 - logistic(f)) * sp.diff(f, t) ** 2),
            "θ ∈ Γ is missing",
        )


@pytest.mark.parametrize("step", ["moved", "doubled"])
def test_mutant_without_the_words_the_weights_may_differ(step: str) -> None:
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").identity(step, CLAIM.derivation[step].statement, "a move, or a swap, is missing")


@pytest.mark.parametrize("factor", [-2, 1, 3])
def test_mutant_a_swap_that_does_not_differ_by_twice_a_move(factor: int) -> None:
    i, place = (sp.Symbol(name, integer=True, positive=True) for name in "il")
    d = Derivation("mutant")
    move = words[3, i, place] - words[4, i, place]
    d.assume("swap", sp.Eq(words[1, i, place], words[2, i, place] + factor * move), "not twice")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("doubled", CLAIM.derivation["doubled"].statement, "other multiples", given=("swap",))


def test_mutant_without_the_symmetry_pre_activations_may_be_negative() -> None:
    u = sp.Symbol("u", real=True)
    r = sp.Symbol("r", real=True)
    d = Derivation("mutant")
    d.assume("relu", sp.Ge(r, -u), "relu(−u) ≥ −u")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.inequality("nonnegative", sp.Ge(u, 0), "a relu(−u) ≤ 0 is missing", Terms(using={"relu": sp.S.One}))


def test_mutant_no_room_for_a_swap_at_length_two() -> None:
    d = Derivation("mutant")
    length = sp.Symbol("L", positive=True)
    d.assume("length", sp.Ge(length, 2), "T ≥ 2")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.inequality("room", sp.Ge(length / 2 - 2, 0), "T ≥ 4 is missing", Terms(using={"length": sp.Rational(1, 2)}))


def test_mutant_memorising_neurons_do_not_pay_for_the_same_margin_without_a_bias() -> None:
    height, output = sp.symbols("c a", positive=True)
    d = Derivation("mutant")
    d.assume("balance", sp.Eq(height, output * root), "c = a√(T−1) in place of a√T")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity(
            "memorised",
            sp.Eq(height**2 + output**2 * T, 2 * (output * height) * sp.sqrt(T)),
            "not balanced",
            given=("balance",),
        )
