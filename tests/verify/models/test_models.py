"""The small models against the languages they learn, closed forms and their own errors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch

from synthetic.closed_form import BracketLanguage, PairLanguage
from verify.models import BracketModel, PairModel, ProductModel, bracket_contexts, exact_excess, trace_hessian

EPS = torch.finfo(torch.float64).eps


def slope(alpha: float) -> float:
    return math.exp(-alpha) / (1 + math.exp(-alpha)) ** 2


def by_row(contexts: torch.Tensor, values: torch.Tensor) -> dict[tuple[float, ...], list[float]]:
    return {tuple(row): value for row, value in zip(contexts.tolist(), values.tolist(), strict=True)}


@pytest.mark.parametrize("d", [2, 3, 5])
def test_pair_contexts_are_those_of_the_language(d: int) -> None:
    language, model = PairLanguage(d, 0.7), PairModel(d, 1, 0.7)
    whole = language.enumerate_contexts()
    expected = by_row(language.contexts(), language.masked_conditional(whole.contexts))
    found = by_row(model.contexts, model.conditional)
    assert found.keys() == expected.keys()
    for row in found:
        assert found[row] == pytest.approx(expected[row], rel=8 * EPS)
    assert model.context_prob.tolist() == pytest.approx(whole.prob.tolist(), rel=8 * EPS)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("T", [2, 4, 6])
def test_bracket_contexts_are_those_of_the_language(T: int, nested: bool) -> None:
    language, model = BracketLanguage(T, 0.7, nested), BracketModel(T, 1, 0.7, nested=nested)
    whole = language.enumerate_contexts()
    expected = by_row(language.contexts(), language.masked_conditional(whole.contexts))
    found = by_row(model.contexts, model.conditional)
    assert found.keys() == expected.keys()
    for row in found:
        assert found[row] == pytest.approx(expected[row], rel=8 * EPS)
    # the language adds T probabilities up, each rounded
    assert model.context_prob.tolist() == pytest.approx(whole.prob.tolist(), rel=8 * T * EPS)


@pytest.mark.parametrize("T", [2, 4, 6, 8])
def test_number_of_bracket_contexts(T: int) -> None:
    words = math.comb(T, T // 2)
    for nested, count in ((False, words), (True, words // (T // 2 + 1))):
        contexts = bracket_contexts(T, nested=nested)
        assert len(contexts) == len(set(map(tuple, contexts.tolist()))) == T * count


@pytest.mark.parametrize("alpha", [1.5, -0.6])
@pytest.mark.parametrize(("d", "m"), [(2, 2), (4, 12), (3, 5)])
def test_flattest_pairs_attain_the_closed_form(d: int, m: int, alpha: float) -> None:
    model = PairModel(d, m, alpha)
    theta = model.flattest()
    # rounding in f is a few ε, so the excess is of the order ε²
    assert 0 <= float(exact_excess(model, theta)) < (64 * EPS) ** 2
    spread = math.ceil(m / 2) ** (-1 / 3) + math.floor(m / 2) ** (-1 / 3)
    bound = 3 * (2 * d) ** (2 / 3) * 2 ** (1 / 3) * abs(alpha / 2) ** (4 / 3) * spread * slope(alpha)
    assert float(trace_hessian(model, theta)) == pytest.approx(bound, rel=1e-13)


@pytest.mark.parametrize("alpha", [1.5, -0.6])
@pytest.mark.parametrize(("T", "m"), [(2, 2), (4, 3), (6, 8)])
def test_flattest_brackets_attain_the_closed_form(T: int, m: int, alpha: float) -> None:
    for bias in (False, True):
        model = BracketModel(T, m, alpha, bias=bias)
        theta = model.flattest()
        assert 0 <= float(exact_excess(model, theta)) < (64 * EPS) ** 2
    model = BracketModel(T, m, alpha)
    bound = 2 * abs(alpha) * math.sqrt(T - 1) * slope(alpha)
    assert float(trace_hessian(model, model.flattest())) == pytest.approx(bound, rel=1e-13)


@pytest.mark.parametrize("alpha", [0.9, -0.9, 0.0])
@pytest.mark.parametrize("imbalance", [0.0, 2.0, -3.0])
def test_product_points_lie_on_the_manifold(alpha: float, imbalance: float) -> None:
    model = ProductModel(alpha)
    u, v = model.on_manifold(imbalance).tolist()
    assert u * v == pytest.approx(alpha, abs=8 * EPS)
    assert u * u - v * v == pytest.approx(imbalance, abs=32 * EPS)
    trace = float(trace_hessian(model, model.on_manifold(imbalance)))
    assert trace == pytest.approx(slope(alpha) * (u * u + v * v), rel=1e-13)
    assert float(trace_hessian(model, model.flattest())) == pytest.approx(2 * abs(alpha) * slope(alpha))


def test_relu_has_slope_zero_at_zero() -> None:
    model = BracketModel(4, 1, 1.0)
    theta = torch.zeros(5, dtype=torch.float64)
    theta[0] = 1.0
    assert not model.logit_jacobian(theta, model.contexts).any()


def test_blocks_and_layout() -> None:
    model = BracketModel(4, 3, 1.0, bias=True)
    theta = torch.arange(18, dtype=torch.float64).expand(2, -1)
    a, w, b = model.split(theta)
    assert (a.shape, w.shape, b.shape) == ((2, 3), (2, 3, 4), (2, 3))
    assert torch.equal(model.join(a, w, b), theta)
    for name, block in {"a": a, "w": w.flatten(1), "b": b}.items():
        assert torch.equal(theta[:, model.layout[name]], block)
    assert ProductModel(1.0).layout == {"u": slice(0, 1), "v": slice(1, 2)}


def test_a_moved_model_keeps_its_truth() -> None:
    model = PairModel(3, 2, 1.0).to(dtype=torch.float32)
    assert model.contexts.dtype == model.conditional.dtype == model.flattest().dtype == torch.float32


def test_errors_say_what_is_wrong() -> None:
    cases: dict[str, Callable[[], object]] = {
        "expected d >= 2": lambda: PairModel(1, 2, 1.0),
        "expected at most 65536 contexts, got 131072; use a smaller d": lambda: PairModel(17, 2, 1.0),
        "expected a width of at least 1, got 0": lambda: PairModel(3, 0, 1.0),
        "expected a finite alpha, got inf": lambda: PairModel(3, 2, math.inf),
        "ProductModel: expected a finite alpha, got nan": lambda: ProductModel(math.nan),
        "expected an even length T >= 2, got T = 5": lambda: BracketModel(5, 2, 1.0),
        "got T = 0": lambda: BracketModel(0, 2, 1.0),
        "got 205920; use a smaller T": lambda: BracketModel(16, 2, 1.0),
        "BracketModel: expected a finite alpha, got -inf": lambda: BracketModel(4, 2, -math.inf),
        "BracketModel.flattest: expected m >= 2": lambda: BracketModel(4, 1, 1.0).flattest(),
        "PairModel.flattest: expected m >= 2": lambda: PairModel(4, 1, 1.0).flattest(),
        "alpha != 0, got m = 2, alpha = 0.0": lambda: PairModel(4, 2, 0.0).flattest(),
    }
    for message, call in cases.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            call()
