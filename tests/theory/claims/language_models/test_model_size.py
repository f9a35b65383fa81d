"""The width law: copies of neurons by hand, the least trace at other widths."""

from __future__ import annotations

import numpy as np
import pytest

from theory.claims.language_models.model_size import (
    CLAIM,
)
from theory.claims.minima import flattest_brackets, flattest_pairs


@pytest.mark.parametrize(("k", "times"), [(1, 3), (2, 2), (2, 5), (3, 2)])
def test_enumeration_copies_keep_the_function_and_multiply_the_trace(k: int, times: int) -> None:
    generator = np.random.default_rng(k)
    a, w, z = generator.normal(size=4), generator.normal(size=(4, 3)), generator.normal(size=(8, 3))

    def values_and_trace(a: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, float]:
        u = np.maximum(z @ w.T, 0)
        slopes = k * np.where(u > 0, u ** (k - 1), 0)
        squares = (u ** (2 * k)).sum(1) + ((a * slopes) ** 2).sum(1) * (z**2).sum(1)
        return u**k @ a, float(squares.mean())

    scale = times ** (1 / (k + 1))
    small, trace = values_and_trace(a, w)
    wide, wide_trace = values_and_trace(np.repeat(a, times) / scale, np.repeat(w, times, axis=0) / scale)
    # some tens of roundings of each term, none larger than the sum of their sizes
    size = values_and_trace(np.abs(a), w)[0].max()
    np.testing.assert_allclose(wide, small, rtol=0, atol=64 * size * 2.0**-52)
    assert wide_trace / trace == pytest.approx(CLAIM.predict("degree", k=k, t=scale), rel=64 * 2.0**-52)


@pytest.mark.parametrize("times", [2, 3, 8])
def test_closed_form_least_trace_of_pairs_obeys_the_law(times: int) -> None:
    least = [flattest_pairs.CLAIM.predict(d=4, m=m, alpha=1.5) for m in (6, 6 * times)]
    assert least[1] / least[0] == pytest.approx(CLAIM.predict(c=times), rel=4 * 2.0**-52)
    assert CLAIM.predict(c=8) == 0.5


def test_enumeration_every_neuron_lowers_the_least_trace_of_pairs_and_brackets_have_no_width() -> None:
    least = [flattest_pairs.CLAIM.predict(d=3, m=m, alpha=0.7) for m in range(2, 15)]
    drops = -np.diff(least)
    assert (drops > 0).all()
    np.testing.assert_allclose(drops[::2], drops[1::2], rtol=0, atol=4 * least[0] * 2.0**-52)  # two equal steps each
    assert {parameter.name for parameter in flattest_brackets.CLAIM.formula().parameters} == {"T", "alpha"}
