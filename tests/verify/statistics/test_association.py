"""Closed form, cross-library, enumeration and simulated rates of the rank correlations over clusters."""

import math

import numpy as np
import pytest
from scipy import stats

from verify.statistics import binomial_interval, cluster_bootstrap, spearman

EPS = float(np.finfo(np.float64).eps)
SURE = 1e-6
"""False-alarm probability of each simulated check."""


def clustered(
    rng: np.random.Generator, clusters: int, size: int, shared: float, r: float = 0.0
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Gaussian x and y of correlation r, in clusters; a share of both variances belongs to the cluster."""

    def pair(n: int) -> tuple[np.ndarray, np.ndarray]:
        u, v = rng.standard_normal((2, n))
        return u, r * u + math.sqrt(1 - r * r) * v

    (a, b), (e, f) = pair(clusters), pair(clusters * size)
    of = np.repeat(np.arange(clusters), size)
    mix = math.sqrt(shared), math.sqrt(1 - shared)
    return mix[0] * a[of] + mix[1] * e, mix[0] * b[of] + mix[1] * f, of.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_cross_library_spearman_with_ties(seed: int) -> None:
    x, y = np.random.default_rng(seed).integers(0, 6, (2, 30)).astype(float)
    assert spearman(x, y) == pytest.approx(float(stats.spearmanr(x, y).statistic), abs=100 * EPS)


def test_closed_form_partial_correlation_of_ranks() -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((40, 2))
    x, y = z[:, 0] + rng.standard_normal(40), z @ [1, -1] + rng.standard_normal(40)
    xy, xz, yz = spearman(x, y), spearman(x, z[:, 0]), spearman(y, z[:, 0])
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert spearman(x, y, z[:, 0]) == pytest.approx(expected, rel=1e3 * EPS)
    ranks = np.stack([stats.rankdata(v) for v in (x, y, *z.T)])
    inverse = np.linalg.inv(np.corrcoef(ranks))
    expected = -inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1])
    assert spearman(x, y, z) == pytest.approx(expected, rel=1e4 * EPS)


def test_enumeration_bootstrap_replicates_are_spearman_of_repeated_tables() -> None:
    rng = np.random.default_rng(1)
    x, y, of = clustered(rng, 5, 4, 0.5, 0.5)
    z = rng.standard_normal(20)
    x = np.round(x, 1)  # ties
    drawn = np.random.default_rng(7).multinomial(5, np.full(5, 1 / 5), size=400)
    for covariates in (None, z):
        found = cluster_bootstrap(x, y, of, np.random.default_rng(7), covariates=covariates, resamples=400)
        replicates = []
        for counts in drawn:
            rows = np.concatenate([np.flatnonzero(np.array(of) == g) for g in np.repeat(np.arange(5), counts)])
            replicates.append(spearman(x[rows], y[rows], None if covariates is None else z[rows]))
        assert found.low == pytest.approx(np.quantile(replicates, 0.025), abs=1e4 * EPS)
        assert found.high == pytest.approx(np.quantile(replicates, 0.975), abs=1e4 * EPS)
        assert found.estimate == spearman(x, y, covariates)
        assert found.n == 5


def test_undefined_resamples_widen_the_interval() -> None:
    x, of = np.repeat([0.0, 1.0, 2.0, 3.0], 3), np.repeat(np.arange(4), 3).tolist()
    found = cluster_bootstrap(x, x, of, np.random.default_rng(0), resamples=20_000, alpha=0.06)
    # ρ is 1, but undefined when the same cluster is drawn four times: probability 4/4⁴ = 0.016, less than α/2, and more
    # than 0.02/2.
    assert (found.low, found.high) == pytest.approx((1.0, 1.0), abs=100 * EPS)
    assert cluster_bootstrap(x, x, of, np.random.default_rng(0), resamples=20_000, alpha=0.02).low == -1
    assert cluster_bootstrap(x, -x, of, np.random.default_rng(0), resamples=20_000, alpha=0.02).high == 1


def test_property_correlations_stay_within_one() -> None:
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])) == pytest.approx(0.5)
    for n in range(3, 60):
        x = np.random.default_rng(n).standard_normal(n)
        assert (spearman(x, x), spearman(x, -x)) == pytest.approx((1, -1), abs=100 * EPS)
        assert spearman(x, -x) >= -1
        assert spearman(x, x) <= 1


# Figures measured with 1000 tables each are in the docstrings; here the rate is held below 8 % for the cluster
# bootstrap at 20 clusters, and a bootstrap that takes runs for independent must show more than that.
def test_rates_of_the_cluster_bootstrap_and_of_the_mutant_that_ignores_clusters() -> None:
    rng = np.random.default_rng(2)
    tables, misses, mutant = 150, 0, 0
    for _ in range(tables):
        x, y, of = clustered(rng, 20, 5, 0.8)
        misses += not cluster_bootstrap(x, y, of, rng, resamples=400).contains(0.0)
        mutant += not cluster_bootstrap(x, y, range(len(x)), rng, resamples=400).contains(0.0)
    assert binomial_interval(misses, tables, SURE).low <= 0.08
    assert binomial_interval(mutant, tables, SURE).low > 0.08


def test_rates_coverage_of_a_true_association() -> None:
    rng = np.random.default_rng(3)
    truth, tables = 6 / math.pi * math.asin(0.6 / 2), 150
    held = 0
    for _ in range(tables):
        held += cluster_bootstrap(*clustered(rng, 20, 5, 0.5, 0.6), rng, resamples=400).contains(truth)
    assert binomial_interval(held, tables, SURE).high >= 0.92
    assert binomial_interval(held, tables, SURE).low > 0.75


def test_a_covariate_that_explains_all_association_leaves_none() -> None:
    rng = np.random.default_rng(8)
    z = rng.standard_normal(300)
    x, y = z + 0.5 * rng.standard_normal(300), z + 0.5 * rng.standard_normal(300)
    of = np.repeat(np.arange(30), 10).tolist()
    assert not cluster_bootstrap(x, y, of, rng, resamples=999).contains(0.0)
    assert abs(spearman(x, y, z)) < 6 / math.sqrt(300)
    assert spearman(x, y) > 0.6


N = np.arange(12.0)
OF = np.repeat(np.arange(6), 2).tolist()


@pytest.mark.parametrize(
    ("x", "y", "z", "message"),
    [
        (np.ones(12), N, None, "expected x to vary, got 1.0 for every run"),
        (N, np.ones(12), None, "expected y to vary"),
        (N, -N, np.ones(12), "expected covariate 0 to vary"),
        (N, N**2 % 7, N, "leave x and y free"),
        (np.where(N == 3, math.nan, N), N, None, "1 NaN or infinite, the first at index 3"),
        (N, N[:5], None, r"as many values of each variable, got \[5, 12\]"),
        (N[:2], N[:2], None, "at least 3 samples"),
    ],
)
def test_degenerate_input_is_an_error_with_its_remedy(
    x: np.ndarray, y: np.ndarray, z: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        spearman(x, y, z)


def test_further_errors() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least 4 clusters, got 2"):
        cluster_bootstrap(N, N, [0] * 6 + [1] * 6, rng)
    with pytest.raises(ValueError, match="resamples >= 20/alpha = 400"):
        cluster_bootstrap(N, N, OF, rng, resamples=100)
    with pytest.raises(ValueError, match="one cluster label per run"):
        cluster_bootstrap(N, N, OF[:3], rng)
