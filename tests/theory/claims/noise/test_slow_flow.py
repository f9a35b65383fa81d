"""The slow flow: its constant on a manifold known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from theory.claims.noise.slow_flow import CLAIM
from theory.kernel import CheckFailedError, Derivation


def test_formula_of_steps() -> None:
    assert CLAIM.predict() == 0.25
    assert CLAIM.predict("steps", B=1, beta=0.0) == CLAIM.predict()
    assert CLAIM.predict("steps", B=4, beta=0.5) == pytest.approx(0.25, rel=1e-14)


def _limit(point: np.ndarray, alpha: float) -> np.ndarray:
    """Φ for a loss that depends on (u, v) through uv: gradient flow keeps u² − v² and ends at uv = α, u > 0."""
    kept = point[0] ** 2 - point[1] ** 2
    square = (kept + np.sqrt(kept**2 + 4 * alpha**2)) / 2
    return np.array([np.sqrt(square), alpha / np.sqrt(square)])


@pytest.mark.parametrize("u", [0.8, 1.1, 1.9])
def test_finite_difference_half_second_derivative_of_the_limit_map(u: float) -> None:
    """½ ∂²Φ[H] = −¼ P_T ∇ tr H on the hyperbola uv = α, where Φ and tr H = σ'(u² + v²) are known."""
    alpha, slope, step = 1.3, 0.17, 1e-4
    point = np.array([u, alpha / u])
    normal = point[::-1]
    # H = σ' n nᵀ with n = ∇(uv), so ∂²Φ[H] = σ' d²/ds² Φ(θ + s n)
    second = _limit(point + step * normal, alpha) - 2 * _limit(point, alpha) + _limit(point - step * normal, alpha)
    drift = slope * second / step**2 / 2
    gradient = 2 * slope * point
    tangential = gradient - normal * (normal @ gradient) / (normal @ normal)
    # truncation O(step²) and rounding ε/step² ≈ 2e-8 of quantities of order 1
    np.testing.assert_allclose(drift, -CLAIM.predict() * tangential, atol=1e-6)


def test_mutant_missing_flatness_along_the_manifold_is_refused() -> None:
    derivation = CLAIM.derivation
    statement = derivation["flat-to-first-order"].statement
    d = Derivation("mutant")
    d.identity("leibniz", derivation["leibniz"].statement, "product rule")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("flat", statement, "H t = 0 along Γ is not given", given=("leibniz",))
