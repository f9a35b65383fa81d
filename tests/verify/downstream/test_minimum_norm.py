"""Minimum-norm heads: against the pseudo-inverse, by enumeration of all training sets, and in closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from verify.downstream import minimum_norm_head, score_predictions, transfer_experiment
from verify.models import BracketModel, PairModel

EPS = torch.finfo(torch.float64).eps


def pair_task(d: int, m: int) -> tuple[PairModel, Tensor, Tensor]:
    """The pair model, the features of its flattest point and the labels z₁z₂."""
    model = PairModel(d, m, 1.5)
    _, w, _ = model.split(model.flattest())
    return model, (model.contexts @ w.mT).square(), model.contexts[:, 0] * model.contexts[:, 1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 6), width=st.integers(1, 6), rank=st.integers(1, 6))
def test_property_head_is_the_least_norm_least_squares_solution(seed: int, n: int, width: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, width))
    labels = rng.normal(size=n)
    head = minimum_norm_head(torch.from_numpy(features), torch.from_numpy(labels)).numpy()
    sigma = np.linalg.svd(features, compute_uv=False)
    true_rank = min(n, rank, width)
    scale = sigma[0] / sigma[true_rank - 1]
    allowed = 1e3 * EPS * scale**2 * np.linalg.norm(labels) / sigma[true_rank - 1]
    expected = np.linalg.lstsq(features, labels, rcond=1e-9)[0]
    assert np.linalg.norm(head - expected) <= allowed


def test_cross_library_batched_heads() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(7, 3, 5, generator=generator, dtype=torch.float64)
    labels = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    heads = minimum_norm_head(features, labels)
    for one, row, target in zip(heads, features, labels, strict=True):
        assert torch.allclose(one, row.mT @ torch.linalg.solve(row @ row.mT, target), rtol=1e-9, atol=1e-11)


def test_enumeration_flattest_pair_features_are_exact_once_both_classes_were_seen() -> None:
    _, features, labels = pair_task(3, 4)
    prob = torch.full((8,), 1 / 8, dtype=torch.float64)
    for n in (1, 2, 3):
        chosen = torch.tensor(list(itertools.product(range(8), repeat=n)))
        heads = minimum_norm_head(features[chosen], labels[chosen])
        scores = score_predictions(heads @ features.mT, labels, prob)
        both = (labels[chosen] != labels[chosen][:, :1]).any(-1)
        assert torch.equal(scores.exact, both)
        assert float(scores.exact.double().mean()) == pytest.approx(1 - 2.0 ** (1 - n), abs=1e-15)
        assert float(scores.accuracy.mean()) == pytest.approx(1 - 2.0**-n, abs=1e-15)


def test_closed_form_bracket_head_fails_only_when_every_label_is_zero() -> None:
    # sequences with sum ±2 and label 1{sum > 0}: a minimum-norm head on labels 0 alone is zero
    model = BracketModel(4, 2, 1.5)
    words = torch.tensor([w for w in itertools.product((-1.0, 1.0), repeat=4) if abs(sum(w)) == 2])
    words = words.to(torch.float64)
    _, w, _ = model.split(model.flattest())
    features, labels = (words @ w.mT).clamp(min=0), (words.sum(-1) > 0).double()
    prob = torch.full((len(words),), 1 / len(words), dtype=torch.float64)
    chosen = torch.tensor(list(itertools.product(range(len(words)), repeat=2)))
    scores = score_predictions(minimum_norm_head(features[chosen], labels[chosen]) @ features.mT, labels, prob)
    assert torch.equal(scores.exact, labels[chosen].any(-1))
    assert float(scores.exact.double().mean()) == 1 - 2.0**-2


@pytest.mark.parametrize("dimension", [1, 4, 40])
def test_oracle_experiment_agrees_with_explicit_heads(dimension: int) -> None:
    generator = torch.Generator().manual_seed(dimension)
    features = torch.randn(16, dimension, generator=generator, dtype=torch.float64)
    labels = (torch.arange(16) % 2 * 2 - 1).double()
    prob = torch.rand(16, generator=generator, dtype=torch.float64)
    prob = prob / prob.sum()
    result = transfer_experiment(features, labels, prob, 5, 300, torch.Generator().manual_seed(1))
    heads = minimum_norm_head(features[result.contexts], labels[result.contexts])
    direct = score_predictions(heads @ features.mT, labels, prob)
    assert torch.equal(result.exact, direct.exact)
    assert torch.allclose(result.accuracy, direct.accuracy, atol=1e-12)
    assert torch.allclose(result.mse, direct.mse, rtol=1e-7)
    distinct = torch.tensor([len(set(row)) for row in result.contexts.tolist()])
    assert torch.equal(result.rank, distinct.clamp(max=dimension))  # repeated contexts are recognised


def test_closed_form_experiment_on_flattest_pairs() -> None:
    model, features, labels = pair_task(6, 10)
    draws = 20_000
    for n in (2, 5):
        result = transfer_experiment(features, labels, model.context_prob, n, draws, torch.Generator().manual_seed(n))
        seen = labels[result.contexts]
        assert torch.equal(result.exact, (seen != seen[:, :1]).any(-1))
        # Hoeffding: a mean of `draws` values in [0, 1] is off by more than this with probability below 2e-9
        assert abs(float(result.accuracy.mean()) - (1 - 2.0**-n)) <= 3.2 / draws**0.5
        assert torch.equal(result.rank, (seen != seen[:, :1]).any(-1) + 1)
        assert torch.equal(result.mse <= 1e-12, result.exact)


def test_closed_form_labelled_contexts_have_their_law() -> None:
    prob = torch.tensor([0.5, 0.3, 0.2, 0.0], dtype=torch.float64)
    labels = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    result = transfer_experiment(
        torch.eye(4, dtype=torch.float64), labels, prob, 5, 4000, torch.Generator().manual_seed(0)
    )
    share = torch.bincount(result.contexts.flatten(), minlength=4) / 20_000
    assert share[3] == 0
    # Hoeffding: a share of so many draws is off by more than this with probability below 2e-9
    assert float((share - prob).abs().max()) <= 3.2 / 20_000**0.5


def test_mutant_random_features_do_not_transfer() -> None:
    model, _, labels = pair_task(6, 10)
    w = torch.randn(6, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = transfer_experiment(
        (model.contexts @ w).square(), labels, model.context_prob, 4, 5000, torch.Generator().manual_seed(0)
    )
    assert not result.exact.any()
    assert float(result.mse.mean()) > 0.5  # flattest features: 2^{1−n}/2 = 1/16


def test_error_bound_nearly_dependent_features_take_the_careful_path() -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(16, 1, generator=generator, dtype=torch.float64)
    labels = (torch.arange(16) % 2 * 2 - 1).double()
    prob = torch.full((16,), 1 / 16, dtype=torch.float64)
    # the second feature is 1e-5 of the first: its square is invisible in the Gram matrix but for six digits
    features = torch.cat([base, 1e-5 * labels[:, None]], dim=1)
    result = transfer_experiment(features, labels, prob, 4, 400, torch.Generator().manual_seed(2))
    assert result.ill_conditioned > 300
    heads = minimum_norm_head(features[result.contexts], labels[result.contexts])
    assert torch.equal(result.exact, score_predictions(heads @ features.mT, labels, prob).exact)
    assert result.exact.double().mean() > 0.9


def test_enumeration_ties_count_as_wrong_and_the_nearest_label_decides() -> None:
    labels = torch.tensor([-1.0, -1.0, 1.0, 3.0], dtype=torch.float64)
    prob = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    predictions = torch.tensor(
        [[-9.0, 0.0, 0.1, 2.1], [-0.1, -0.1, 2.0, 2.0], [-1.0, -1.0, 1.0, 3.0]], dtype=torch.float64
    )
    scores = score_predictions(predictions, labels, prob)
    assert scores.accuracy.tolist() == pytest.approx([0.8, 0.3, 1.0])
    assert scores.exact.tolist() == [False, False, True]
    assert scores.mse[2] == 0
    ignored = score_predictions(predictions, labels, torch.tensor([0.0, 0.0, 0.5, 0.5], dtype=torch.float64))
    assert ignored.accuracy.tolist() == pytest.approx([1.0, 0.0, 1.0])


def test_errors_say_what_to_do() -> None:
    model, features, labels = pair_task(3, 4)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="n >= 1"):
        minimum_norm_head(features[:0], labels[:0])
    with pytest.raises(ValueError, match="rank_tolerance"):
        minimum_norm_head(features, labels, rank_tolerance=2.0)
    with pytest.raises(ValueError, match="different labels"):
        score_predictions(labels[None], torch.ones_like(labels), model.context_prob)
    with pytest.raises(ValueError, match="draws >= 1"):
        transfer_experiment(features, labels, model.context_prob, 2, 0, generator)
