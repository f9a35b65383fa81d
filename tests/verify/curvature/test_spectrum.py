"""The largest eigenvalue and the log pseudo-determinant against dense eigenvalues, and the invariant sharpness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.verify.curvature.examples import (
    CONTEXTS,
    EPS,
    filled,
    fisher_by_scores,
    hessian_by_autograd,
    mlp,
    off_gamma,
    on_gamma,
    seeded,
    transformer,
    vectors,
)
from verify.curvature.data import Examples, Population, softmax_of_model
from verify.curvature.invariant import invariant_sharpness
from verify.curvature.lanczos import largest_eigenvalue
from verify.curvature.pseudo_determinant import DENSE_LIMIT, log_pdet
from verify.curvature.trace import trace
from verify.networks import Transformer
from verify.networks.rescaling import (
    Factors,
    hidden_factors,
    mix_queries,
    norm_factors,
    query_factors,
    rescale,
    shift_head,
    value_factors,
)


@pytest.mark.parametrize("name", ["on Γ", "off Γ"])
def test_cross_library_largest_eigenvalue_is_that_of_eigvalsh(name: str) -> None:
    model = mlp()
    population = (on_gamma if name == "on Γ" else off_gamma)(model, vectors())
    H = hessian_by_autograd(model, population)
    expected = np.linalg.eigvalsh(H.numpy())
    found = largest_eigenvalue(model, population, generator=seeded(), tolerance=1e-9)
    assert found.converged
    assert found.residual <= 1e-9 * found.value
    assert np.abs(expected - found.value).min() <= found.residual + 64 * EPS * expected[-1]
    assert found.value == pytest.approx(expected[-1], rel=1e-9)
    assert float(found.vector.norm()) == pytest.approx(1, abs=64 * EPS)
    assert float(found.vector @ H @ found.vector) == pytest.approx(found.value, rel=1024 * EPS)
    assert float((H @ found.vector - found.value * found.vector).norm()) == pytest.approx(found.residual, abs=1e-12)
    assert (found.examples, found.seed) == (5, 0)
    assert found.iterations < len(H)


def test_property_few_iterations_bound_an_eigenvalue_from_below() -> None:
    model = mlp()
    population = off_gamma(model, vectors())
    expected = np.linalg.eigvalsh(hessian_by_autograd(model, population).numpy())
    values = []
    for iterations in (1, 2, 4, 8):
        found = largest_eigenvalue(model, population, generator=seeded(), tolerance=1e-12, max_iterations=iterations)
        assert found.iterations == iterations
        assert not found.converged
        assert found.value <= expected[-1] * (1 + 64 * EPS)
        assert np.abs(expected - found.value).min() <= found.residual + 64 * EPS * expected[-1]
        values.append(found.value)
    assert values == sorted(values)  # Krylov spaces of one start are nested


def test_closed_form_a_rank_that_is_used_up_ends_the_recursion() -> None:
    # one context, two tokens: H = p(1 − p) (e₀ − e₁)(e₀ − e₁)ᵀ ⊗ x xᵀ has one eigenvalue that is not 0
    model = filled(nn.Linear(3, 2, bias=False))
    x = vectors(1)
    p = softmax_of_model(model, x).detach().exp()[0]
    population = on_gamma(model, x, softmax_of_model)
    found = largest_eigenvalue(model, population, log_prob=softmax_of_model, generator=seeded(), tolerance=1e-30)
    assert found.converged
    assert found.iterations == 2
    assert found.value == pytest.approx(2 * float(p.prod() * x.square().sum()), rel=256 * EPS)


def test_property_a_drawn_batch_has_an_eigenvalue_too() -> None:
    data = Examples(vectors(), torch.tensor([0, 1, 2, 0, 1]))
    found = largest_eigenvalue(mlp(), data, generator=seeded(3), batch_size=16)
    assert found.converged
    assert (found.examples, found.seed) == (16, 3)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"max_iterations": 0}, {"tolerance": 0.0}])
def test_lanczos_sizes(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="batch_size, max_iterations >= 1 and tolerance > 0"):
        largest_eigenvalue(mlp(), on_gamma(mlp(), vectors()), generator=seeded(), **wrong)  # type: ignore[arg-type]


def test_cross_library_log_pdet_is_that_of_eigvalsh() -> None:
    model = mlp()
    found = log_pdet(model, on_gamma(model, vectors()), generator=seeded())
    values = np.linalg.eigvalsh(hessian_by_autograd(model, on_gamma(model, vectors())).numpy())
    # five contexts, three tokens: rank 5 · 2 of the Gauss–Newton matrix
    kept = values[-10:]
    assert found.rank == 10
    # each logarithm errs by the relative error of its eigenvalue
    assert found.value == pytest.approx(float(np.log(kept).sum()), abs=float((found.tolerance / kept).sum()))
    assert found.smallest_kept == pytest.approx(kept[0], abs=found.tolerance)
    assert found.largest_dropped <= found.tolerance < found.smallest_kept
    assert found.largest_dropped < 1e-9 * found.smallest_kept


def test_closed_form_log_pdet_of_softmax_regression() -> None:
    model = filled(nn.Linear(3, 2, bias=False))
    x = vectors(1)
    p = softmax_of_model(model, x).detach().exp()[0]
    found = log_pdet(model, on_gamma(model, x, softmax_of_model), log_prob=softmax_of_model, generator=seeded())
    value = 2 * float(p.prod() * x.square().sum())
    assert found.rank == 1
    assert found.value == pytest.approx(np.log(value), abs=256 * EPS)
    given = log_pdet(
        model, on_gamma(model, x, softmax_of_model), log_prob=softmax_of_model, generator=seeded(), tolerance=value / 2
    )
    assert (given.rank, given.tolerance) == (1, value / 2)


def test_a_full_rank_drops_nothing() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.theta = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.logsigmoid(self.theta * torch.cat([-x, x], -1))

    found = log_pdet(Scale(), on_gamma(Scale(), vectors(4, 1)), generator=seeded())
    assert (found.rank, found.largest_dropped) == (1, 0.0)


def test_log_pdet_errors() -> None:
    model = mlp()
    with pytest.raises(ValueError, match="expected a minimum, got an eigenvalue -"):
        log_pdet(model, off_gamma(model, vectors()), generator=seeded())
    with pytest.raises(ValueError, match=r"expected an eigenvalue above 1e\+03, got none; H is zero here"):
        log_pdet(model, on_gamma(model, vectors()), generator=seeded(), tolerance=1e3)
    large = nn.Sequential(nn.Linear(DENSE_LIMIT, 1), nn.LogSoftmax(-1))
    population = Population(torch.zeros(1, DENSE_LIMIT), torch.ones(1), torch.ones(1, 1))
    with pytest.raises(
        ValueError, match=f"at most {DENSE_LIMIT} parameters for a dense Hessian, got {DENSE_LIMIT + 1}"
    ):
        log_pdet(large, population, generator=seeded())


SCALINGS: dict[str, Callable[[Transformer], Factors]] = {
    "attention norm": lambda model: norm_factors(model, "blocks.0.attention_norm", powers(4)),
    "mlp norm": lambda model: norm_factors(model, "blocks.1.mlp_norm", powers(4)),
    "final norm": lambda model: norm_factors(model, "norm", powers(4)),
    "queries and keys": lambda model: query_factors(model, 1, powers(2)),
    "values": lambda model: value_factors(model, 0, powers(2)),
    "hidden units": lambda model: hidden_factors(model, 0, powers(8)),
}


def powers(n: int) -> Tensor:
    return torch.tensor([3.0, 0.7, 1.5, 0.4, 2.2, 0.9, 1.1, 5.0], dtype=torch.float64)[:n]


@pytest.mark.parametrize("name", SCALINGS)
def test_closed_form_the_invariant_stays_where_the_trace_does_not(name: str) -> None:
    model = transformer()
    population = on_gamma(model, CONTEXTS)
    scaled = rescale(model, SCALINGS[name](model))
    sharpness, other = (invariant_sharpness(m, population, exact=True, generator=seeded()) for m in (model, scaled))
    # two roundings for each factor, and those on the path of a network rescaled by up to 5
    assert other.estimate == pytest.approx(sharpness.estimate, rel=4096 * EPS)
    first, second = (trace(m, population, "gauss-newton", generator=seeded()).estimate for m in (model, scaled))
    assert abs(second / first - 1) > 1e-6


def test_property_estimates_of_the_invariant_stay_sample_by_sample() -> None:
    model = transformer()
    scaled = rescale(model, SCALINGS["values"](model))
    drawn = [
        invariant_sharpness(m, on_gamma(model, CONTEXTS), generator=seeded(1), batches=32) for m in (model, scaled)
    ]
    assert drawn[1].estimate == pytest.approx(drawn[0].estimate, rel=4096 * EPS)
    assert drawn[1].low == pytest.approx(drawn[0].low, rel=4096 * EPS)


def test_property_what_is_no_rescaling_changes_the_invariant() -> None:
    model = transformer()
    population = on_gamma(model, CONTEXTS)
    turn = torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=torch.float64).expand(2, 2, 2)
    exact = invariant_sharpness(model, population, exact=True, generator=seeded()).estimate
    for other in (mix_queries(model, 0, turn), shift_head(model, torch.tensor(0.5, dtype=torch.float64))):
        found = invariant_sharpness(other, population, exact=True, generator=seeded()).estimate
        assert abs(found / exact - 1) > 1e-6
    F = fisher_by_scores(model, population)
    theta = torch.cat([value.detach().flatten() for value in model.parameters()])
    assert exact == pytest.approx(float(theta.square() @ F.diagonal()), rel=1024 * EPS)


def test_an_exact_invariant_needs_a_population() -> None:
    with pytest.raises(ValueError, match="expected a Population for an exact sum, got Examples; leave exact out"):
        invariant_sharpness(mlp(), Examples(vectors()), exact=True, generator=seeded())
