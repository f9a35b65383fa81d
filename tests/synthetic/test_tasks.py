"""Downstream tasks against enumeration."""

import math

import pytest
import torch

from synthetic import MASK, EnumerationTooLargeError
from synthetic.closed_form import PairProductTask, SumSignTask


@pytest.mark.parametrize("d", [2, 3, 5])
def test_pair_product_is_the_product_of_the_first_two_tokens(d: int) -> None:
    whole = PairProductTask(d).enumerate()
    z = PairProductTask(d).features(whole.inputs)
    assert z.shape == (2**d, d)
    assert len(set(map(tuple, z.tolist()))) == 2**d
    assert bool((whole.inputs[:, d] == MASK).all())
    assert torch.equal(whole.labels, z[:, 0] * z[:, 1])
    assert float(whole.prob[whole.labels > 0].sum()) == 0.5


@pytest.mark.parametrize("T", [2, 4, 6])
def test_sum_sign_is_the_sign_of_an_excess_of_two(T: int) -> None:
    task = SumSignTask(T)
    whole = task.enumerate()
    x = task.features(whole.inputs)
    assert len(x) == 2 * math.comb(T, T // 2 + 1) == len(set(map(tuple, x.tolist())))
    assert set(x.sum(1).tolist()) == {-2.0, 2.0}
    assert torch.equal(whole.labels, (x.sum(1) + 2) / 4)
    assert float(whole.prob[whole.labels == 1].sum()) == pytest.approx(0.5, rel=len(x) * 2**-53)


@pytest.mark.parametrize("task", [PairProductTask(4), SumSignTask(6)])
def test_samples_depend_on_the_generator_alone(task: PairProductTask | SumSignTask) -> None:
    first, second = (task.sample(50, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.labels, task.label(first.inputs))
    assert set(first.labels.tolist()) == set(task.label_values)
    assert task.sample(0, torch.Generator()).labels.shape == (0,)


@pytest.mark.parametrize("task", [PairProductTask(40), SumSignTask(40)])
def test_large_tasks_are_sampled_not_enumerated(task: PairProductTask | SumSignTask) -> None:
    with pytest.raises(EnumerationTooLargeError, match="expected at most 1048576 inputs"):
        task.enumerate()
    assert task.sample(3, torch.Generator()).inputs.shape[0] == 3


@pytest.mark.parametrize("task", [PairProductTask(4), SumSignTask(6)])
def test_negative_sample_size_is_refused(task: PairProductTask | SumSignTask) -> None:
    with pytest.raises(ValueError, match="expected a sample size n >= 0, got -1; ask for"):
        task.sample(-1, torch.Generator())
