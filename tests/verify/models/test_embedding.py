"""Embeddings in wider networks: the function is kept, tr H changes by the predicted factor, bad shares are refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.verify.models.embedding import DEGREE, embed
from verify.models.brackets import BracketModel
from verify.models.exact import fisher_trace
from verify.models.pairs import PairModel
from verify.models.two_layer import TwoLayerModel

EPS = torch.finfo(torch.float64).eps


def drawn(width: int, extra: int, seed: int) -> tuple[Tensor, Tensor]:
    """Every small neuron owns itself and some of the extra neurons, with random shares."""
    generator = torch.Generator().manual_seed(seed)
    owner = torch.cat([torch.arange(width), torch.randint(0, width, (extra,), generator=generator)])
    raw = torch.rand(width + extra, generator=generator, dtype=torch.float64)
    total = raw.new_zeros(width).index_add(0, owner, raw)
    return owner, raw / total[owner]


def models(kind: str, width: int, extra: int) -> tuple[TwoLayerModel, TwoLayerModel]:
    if kind == "pairs":
        return PairModel(3, width, 1.2), PairModel(3, width + extra, 1.2)
    bias = kind == "biased brackets"
    return BracketModel(4, width, 1.2, bias=bias), BracketModel(4, width + extra, 1.2, bias=bias)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["pairs", "brackets", "biased brackets"]),
    width=st.integers(1, 4),
    extra=st.integers(0, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_property_an_embedding_preserves_the_function(kind: str, width: int, extra: int, seed: int) -> None:
    small, wide = models(kind, width, extra)
    theta = torch.randn(small.n_parameters, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    owner, share = drawn(width, extra, seed)
    embedded = embed(small, theta, wide, owner, share)
    before, after = small.logit(theta, small.contexts), wide.logit(embedded, wide.contexts)
    # h = w·z + b may cancel, so that its rounding is relative to s = |w|·|z| + |b|, of D terms and some factors; that
    # of φ(h) to s^k; a sum over neurons adds its width. Two sides, each to first order in ε, doubled for what is not.
    a, w, b = small.split(theta)
    k, terms = DEGREE[small.activation], small.contexts.shape[-1]
    size = (a.abs() * (small.contexts.abs() @ w.abs().mT + b.abs()) ** k).sum(-1)
    assert bool(((before - after).abs() <= 4 * EPS * (k * (terms + 8) + width + extra) * size).all())


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["pairs", "brackets"]),
    width=st.integers(2, 4),
    extra=st.integers(0, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_closed_form_the_trace_is_multiplied_by_the_shares_to_the_width_law(
    kind: str, width: int, extra: int, seed: int
) -> None:
    small, wide = models(kind, width, extra)
    assert isinstance(small, PairModel | BracketModel)
    theta = small.flattest()
    owner, share = drawn(width, extra, seed)
    k = DEGREE[small.activation]
    factor = share.new_zeros(width).index_add(0, owner, share ** (2 * k / (k + 1)))
    costs = []
    for j in range(width):
        alone = theta.clone()
        a, w, _ = small.split(alone)
        mask = torch.arange(width) == j
        a *= mask
        w *= mask[:, None]
        # the factor σ'(f) = σ'(α) of a point of Γ, and not that of the neuron alone
        jacobian = small.logit_jacobian(alone, small.contexts).square().sum(-1)
        f = small.logit(theta, small.contexts)
        costs.append((torch.sigmoid(f) * torch.sigmoid(-f) * jacobian) @ small.context_prob)
    predicted = float(factor @ torch.stack(costs))
    measured = float(fisher_trace(wide, embed(small, theta, wide, owner, share)))
    assert abs(measured / predicted - 1) <= 64 * EPS * (width + extra)


def test_closed_form_equal_copies_flatten_squares_and_not_relu() -> None:
    for small, wide, expected in (
        (PairModel(3, 2, 1.2), PairModel(3, 16, 1.2), 8 ** (-1 / 3)),
        (BracketModel(4, 2, 1.2), BracketModel(4, 16, 1.2), 1.0),
    ):
        owner, share = torch.arange(16) % 2, torch.full((16,), 1 / 8, dtype=torch.float64)
        theta = small.flattest()
        ratio = fisher_trace(wide, embed(small, theta, wide, owner, share)) / fisher_trace(small, theta)
        assert abs(float(ratio) - expected) <= 64 * EPS


def test_shares_that_do_not_sum_to_one_and_foreign_networks_are_refused() -> None:
    small, wide = PairModel(3, 2, 1.2), PairModel(3, 3, 1.2)
    theta, owner = small.flattest(), torch.tensor([0, 1, 1])
    with pytest.raises(ValueError, match=r"neuron 1 to sum to 1, got 1\.5"):
        embed(small, theta, wide, owner, torch.tensor([1.0, 1.0, 0.5]).double())
    with pytest.raises(ValueError, match="shares >= 0"):
        embed(small, theta, wide, owner, torch.tensor([1.0, 1.5, -0.5]).double())
    with pytest.raises(ValueError, match="differ in width alone"):
        embed(small, theta, BracketModel(4, 3, 1.2), owner, torch.tensor([1.0, 0.5, 0.5]).double())
