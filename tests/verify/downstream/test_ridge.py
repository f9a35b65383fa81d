"""Closed form against explicit leave-one-out refits; probes, draws, scores and their errors."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from synthetic.closed_form.pairs import PairLanguage
from verify.downstream.probe import few_label_probe, ridge_probe, ridge_regression
from verify.downstream.ridge import RELATIVE_PENALTIES, fit_ridge
from verify.downstream.scores import accuracy, best_achievable, chance_level, class_indices
from verify.statistics.intervals import binomial_interval


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal_equations(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Ridge with a free intercept, from the normal equations of the augmented design."""
    design = torch.cat([torch.ones(len(x), 1, dtype=x.dtype), x], 1)
    ridge = penalty * torch.eye(design.shape[1], dtype=x.dtype)
    ridge[0, 0] = 0
    solution = torch.linalg.solve(design.mT @ design + ridge, design.mT @ y)
    return solution[1:], solution[0]


@pytest.mark.parametrize(("n", "width"), [(2, 1), (3, 8), (9, 8), (8, 8), (10, 8), (30, 4), (12, 40)])
def test_enumeration_leave_one_out_errors_are_those_of_refits(n: int, width: int) -> None:
    generator = stream(n)
    x = torch.randn(n, width, generator=generator, dtype=torch.float64) + 3
    y = torch.randn(n, 2, generator=generator, dtype=torch.float64) - 1
    fit = fit_ridge(x, y, (1e-3, 1e-1, 1.0, 10.0))
    centred = x - x.mean(0)
    scale = float(torch.linalg.svdvals(centred).square().sum()) / min(n - 1, width)
    torch.testing.assert_close(fit.penalties, scale * torch.tensor([1e-3, 1e-1, 1.0, 10.0], dtype=torch.float64))
    # The oracle solves systems of condition up to about n·width·10³·9 (the mean 3 is not removed there).
    tolerance = 1e5 * n * width * torch.finfo(torch.float64).eps
    for penalty, found in zip(fit.penalties.tolist(), fit.loo_error.tolist(), strict=True):
        errors = []
        for i in range(n):
            others = [j for j in range(n) if j != i]
            weight, intercept = normal_equations(x[others], y[others], penalty)
            errors.append(y[i] - x[i] @ weight - intercept)
        assert found == pytest.approx(float(torch.stack(errors).square().mean()), rel=tolerance)
    weight, intercept = normal_equations(x, y, float(fit.penalty))
    torch.testing.assert_close(fit.weight, weight, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(fit.intercept, intercept, rtol=tolerance, atol=tolerance)
    best = int(fit.loo_error.argmin())
    assert float(fit.penalty) >= float(fit.penalties[best])
    assert float(fit.loo_error[fit.penalties == fit.penalty]) <= float(fit.loo_error[best]) * (1 + 1e-7)


def test_property_a_stack_is_its_members() -> None:
    x = torch.randn(2, 3, 12, 5, generator=stream(0))
    y = torch.randn(12, 2, generator=stream(1))
    together = fit_ridge(x, y)
    for i, j in itertools.product(range(2), range(3)):
        alone = fit_ridge(x[i, j], y)
        assert float(alone.penalty) == pytest.approx(float(together.penalty[i, j]), rel=1e-12)
        torch.testing.assert_close(alone.weight, together.weight[i, j], rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(alone.predict(x[i, j]), together.predict(x)[i, j], rtol=1e-6, atol=1e-9)
        # The same examples for all heads of a member: sums of 5 products and an intercept, twice, in any order.
        inputs, weight, intercept = x[i, 0].double(), together.weight[i, j], together.intercept[i, j]
        rounding = 16 * torch.finfo(torch.float64).eps * (inputs.abs() @ weight.abs() + intercept.abs())
        shared = together.predict(x[:, :1])[i, j]
        assert bool(((inputs @ weight + intercept - shared).abs() <= rounding).all())


def test_property_scale_and_shift_of_the_features_change_no_prediction() -> None:
    x, y = torch.randn(20, 6, generator=stream(2)).double(), torch.randn(20, 1, generator=stream(3)).double()
    first = fit_ridge(x, y).predict(x)
    torch.testing.assert_close(fit_ridge(8 * x, y).predict(8 * x), first, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(fit_ridge(x + 5, y).predict(x + 5), first, rtol=1e-9, atol=1e-9)


def test_closed_form_useless_features_get_the_largest_penalty_and_noiseless_ones_the_least() -> None:
    constant = fit_ridge(torch.ones(10, 3), torch.arange(10.0)[:, None])
    assert float(constant.penalty) == max(RELATIVE_PENALTIES)
    assert constant.weight.abs().max() == 0
    x = torch.randn(40, 3, generator=stream(4)).double()
    exact = fit_ridge(x, x @ torch.ones(3, 1).double())
    assert float(exact.penalty) == pytest.approx(float(exact.penalties[0]))
    torch.testing.assert_close(exact.weight, torch.ones(3, 1).double(), rtol=1e-6, atol=0)
    single = fit_ridge(torch.ones(1, 3), torch.tensor([[2.0]]))
    assert single.predict(torch.zeros(1, 3)).item() == 2


def test_probe_on_a_task_of_a_language() -> None:
    task = PairLanguage(4, 1.5).downstream["pair-product"]
    train, test = task.sample(200, stream(0)), task.sample(1000, stream(1))
    z, z_test = task.features(train.inputs), task.features(test.inputs)
    products = torch.stack([z[:, i] * z[:, j] for i in range(4) for j in range(i)], 1)
    products_test = torch.stack([z_test[:, i] * z_test[:, j] for i in range(4) for j in range(i)], 1)
    linear = ridge_probe(z, train.labels, z_test, test.labels, task.label_values)
    quadratic = ridge_probe(products, train.labels, products_test, test.labels, task.label_values)
    assert float(quadratic.accuracy.estimate) == 1
    assert float(quadratic.accuracy.low) == pytest.approx(0.025 ** (1 / 1000))
    # z₁z₂ is uncorrelated with every z: accuracy ½, within 6 standard errors of 1000 examples.
    assert abs(float(linear.accuracy.estimate) - 0.5) < 6 * 0.5 / math.sqrt(1000) + 0.1
    assert quadratic.accuracy.interval().high == 1
    # Reading float32 features of a stack of two networks at once.
    both = ridge_probe(
        torch.stack([products, 2 * products]).float(),
        train.labels,
        torch.stack([products_test, 2 * products_test]).float(),
        test.labels,
        task.label_values,
    )
    assert both.accuracy.estimate.tolist() == [1, 1]
    assert both.accuracy.interval(1) == quadratic.accuracy.interval()


def test_unseen_classes_are_never_answered_and_labels_are_checked() -> None:
    values = (0.0, 1.0, 5.0)
    x = torch.tensor([[0.0], [1.0]])
    found = ridge_probe(x, torch.tensor([0.0, 5.0]), x, torch.tensor([0.0, 1.0]), values)
    assert found.fit.weight.shape == (1, 3)
    assert found.fit.predict(x)[:, 1].abs().max() == 0
    with pytest.raises(ValueError, match=r"expected labels among \(0.0, 1.0, 5.0\), got 2.0"):
        class_indices(torch.tensor([2.0]), values)
    with pytest.raises(ValueError, match="at least two increasing"):
        class_indices(torch.tensor([2.0]), (2.0,))


def test_regression_explains_what_is_linear() -> None:
    x = torch.randn(50, 4, generator=stream(5)).double()
    y = torch.stack([x @ torch.arange(4.0).double(), torch.randn(50, generator=stream(6)).double()], 1)
    found = ridge_regression(x[:30], y[:30, :1], x[30:], y[30:, :1])
    assert float(found.r2) > 1 - 1e-6
    assert float(ridge_regression(x[:30], y[:30, 1:], x[30:], y[30:, 1:]).r2) < 0.5
    with pytest.raises(ValueError, match="nothing to explain"):
        ridge_regression(x, torch.ones(50, 1), x, torch.ones(50, 1))


@pytest.mark.parametrize("per_class", [False, True])
def test_few_labels_are_the_probe_of_each_draw(per_class: bool) -> None:
    x = torch.randn(2, 60, 7, generator=stream(7))
    labels = (x[0, :, 0] > 0).double()
    pool, test = x[:, :40], x[:, 40:]
    n = 3 if per_class else 6
    found = few_label_probe(pool, labels[:40], test, labels[40:], (0.0, 1.0), n, 8, stream(8), per_class=per_class)
    assert found.n_labels == 6
    assert found.accuracy.shape == (2, 8)
    for draw, rows in enumerate(found.draws):
        assert len(set(rows.tolist())) == 6
        if per_class:
            assert labels[rows].sum() == 3
        alone = ridge_probe(pool[:, rows], labels[rows], test, labels[40:], (0.0, 1.0))
        torch.testing.assert_close(alone.accuracy.estimate, found.accuracy[:, draw])
    again = few_label_probe(pool, labels[:40], test, labels[40:], (0.0, 1.0), n, 8, stream(8), per_class=per_class)
    assert torch.equal(found.accuracy, again.accuracy)
    with pytest.raises(ValueError, match="expected n_labels >= 1"):
        few_label_probe(pool, labels[:40], test, labels[40:], (0.0, 1.0), 41, 8, stream(8), per_class=per_class)


def test_few_labels_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = torch.randn(30, 4, generator=stream(9)), (torch.arange(30) % 2).double()
    whole = few_label_probe(x, labels, x, labels, (0.0, 1.0), 5, 9, stream(0))
    monkeypatch.setattr("verify.downstream.probe._CHUNK_ELEMENTS", 100)
    parts = few_label_probe(x, labels, x, labels, (0.0, 1.0), 5, 9, stream(0))
    assert torch.equal(whole.accuracy, parts.accuracy)


def test_closed_form_intervals_chance_and_best() -> None:
    predicted, classes = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]]), torch.tensor([0, 1, 1, 1])
    found = accuracy(predicted, classes, alpha=0.1)
    assert found.interval(0) == binomial_interval(3, 4, 0.1)
    assert found.interval(1) == binomial_interval(3, 4, 0.1)
    labels, values = torch.tensor([0.0, 1.0, 1.0, 2.0]), (0.0, 1.0, 2.0)
    assert chance_level(labels, values) == 0.5
    assert chance_level(labels, values, torch.tensor([0.7, 0.1, 0.1, 0.1])) == pytest.approx(0.7)
    task = PairLanguage(3, 1.0).downstream["pair-product"]
    every = task.enumerate()
    assert best_achievable(every.inputs.double(), every.labels, task.label_values, every.prob) == 1
    assert best_achievable(every.inputs[:, :1].double(), every.labels, task.label_values, every.prob) == 0.5


@pytest.mark.parametrize(
    ("x", "y", "penalties", "message"),
    [
        (torch.ones(2, 2), torch.ones(2, 1), (0.0, 1.0), "expected positive finite penalties"),
        (torch.ones(2, 2), torch.ones(2, 1), (), "expected positive finite penalties"),
        (torch.ones(0, 2), torch.ones(0, 1), (1.0,), "at least one example"),
        (torch.tensor([[1.0], [math.nan]]), torch.ones(2, 1), (1.0,), r"finite features, got 1 .* index \[1, 0\]"),
        (torch.ones(2, 1), torch.tensor([[math.inf], [0.0]]), (1.0,), "finite targets"),
    ],
)
def test_wrong_input_is_an_error_with_its_remedy(
    x: Tensor, y: Tensor, penalties: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_ridge(x, y, penalties)
