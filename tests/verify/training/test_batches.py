"""Property: streams resume to the bit, belong to their seed, and are the same whether p* is asked for or not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from synthetic.catalogue import ready_made
from tests.verify.training.examples import EPS, small_language, stream
from verify.training import ContextTable, context_table, data, table_if_small
from verify.training.batches import BatchStream, generator_states, generators, restore_generators
from verify.training.data import ExampleStream

LANGUAGE = small_language()
TABLE = context_table(LANGUAGE)


def numbers(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.rand(n, 2, generator=generator), torch.randint(9, (n,), generator=generator)


def batches(seeds: list[int], prefetch: int = 3) -> BatchStream:
    return BatchStream(numbers, generators(seeds, "test"), 4, prefetch)


def many(seeds: list[int], table: ContextTable | None, *, conditional: bool = False, n: int = 5) -> list[data.Batch]:
    shape = (len(seeds),)
    found = ExampleStream(LANGUAGE, table, seeds, stack=shape, batch=4, conditional=conditional, prefetch=2)
    return [found.next() for _ in range(n)]


@pytest.mark.parametrize("place", range(8))
def test_property_a_restored_stream_goes_on_to_the_bit(place: int) -> None:
    whole, other = batches([1, 2]), batches([1, 2])
    for _ in range(place):
        whole.next()
    states, at = whole.state()
    other.restore(states, at)
    for _ in range(7):
        for mine, theirs in zip(whole.next(), other.next(), strict=True):
            assert torch.equal(mine, theirs)


def test_property_a_stream_belongs_to_its_seed_and_its_purpose() -> None:
    both, alone = batches([1, 2]), batches([2])
    for _ in range(5):
        for mine, theirs in zip(both.next(), alone.next(), strict=True):
            assert torch.equal(mine[1:], theirs)
    first, second = (torch.rand(3, generator=generators([1], purpose)[0]) for purpose in ("a", "b"))
    assert not bool((first == second).any())


def test_property_batches_do_not_repeat() -> None:
    stream_of_two = batches([1, 2])
    seen = torch.cat([stream_of_two.next()[0].flatten(0, 1) for _ in range(9)])
    assert len(torch.unique(seen, dim=0)) == len(seen)


def test_generators_take_states_that_are_views() -> None:
    members = generators([1, 2], "test")
    states = generator_states(members)
    before = [torch.rand(3, generator=generator) for generator in members]
    restore_generators(members, torch.stack([states, states], 2)[:, :, 1])
    assert all(torch.equal(torch.rand(3, generator=g), old) for g, old in zip(members, before, strict=True))


def test_stream_errors() -> None:
    with pytest.raises(ValueError, match="give one generator per seed"):
        BatchStream(numbers, [], 4, 3)
    with pytest.raises(ValueError, match="expected batch >= 1"):
        BatchStream(numbers, [stream(0)], 0, 3)
    states, _ = batches([1]).state()
    with pytest.raises(ValueError, match=r"expected a place in 0..3 of a block, got 4"):
        batches([1]).restore(states, 4)
    with pytest.raises(ValueError, match="expected the states of 2 generators"):
        batches([1, 2]).restore(states, 0)


@pytest.mark.parametrize("table", [TABLE, None])
def test_property_soft_and_sampled_labels_see_the_same_examples(table: ContextTable | None) -> None:
    for plain, exact in zip(many([3, 4], table), many([3, 4], table, conditional=True), strict=True):
        assert torch.equal(plain.contexts, exact.contexts)
        assert torch.equal(plain.targets, exact.targets)
        assert plain.conditional is None
        assert exact.conditional is not None
        prob = LANGUAGE.masked_conditional(exact.contexts.flatten(0, 1)).float()
        assert torch.equal(exact.conditional.flatten(0, 1), prob)
        assert bool((exact.conditional.gather(-1, exact.targets.unsqueeze(-1)) > 0).all())


def test_property_a_single_network_has_no_stack() -> None:
    alone = ExampleStream(LANGUAGE, TABLE, [3], stack=(), batch=4).next()
    (stacked,) = many([3], TABLE, n=1)
    assert alone.contexts.shape == (4, 4)
    assert alone.targets.shape == (4,)
    assert stacked.contexts.shape == (1, 4, 4)


@pytest.mark.parametrize("table", [TABLE, None])
def test_property_large_blocks_are_cut_the_same_with_p_star(
    monkeypatch: pytest.MonkeyPatch, table: ContextTable | None
) -> None:
    drawn: list[int] = []
    original = BatchStream._drawn

    def counting(self: BatchStream) -> tuple[Tensor, ...]:
        drawn.append(self.prefetch)
        return original(self)

    monkeypatch.setattr(BatchStream, "_drawn", counting)
    monkeypatch.setattr(data, "BLOCK_ENTRIES", 4 * 10)
    plain, exact = many([3], table), many([3], table, conditional=True)
    assert set(drawn) == ({2} if table is not None else {1})
    for mine, theirs in zip(plain, exact, strict=True):
        assert torch.equal(mine.contexts, theirs.contexts)


def test_closed_form_inverse_cdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the edges of the intervals, where an impossible outcome would come up."""
    table = ContextTable(
        torch.arange(3)[:, None],
        torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64),
        torch.tensor([[0.0, 0.5, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.0, 0.0, 0.75]], dtype=torch.float64),
    )
    top = 1 - 2.0**-53
    uniform = torch.tensor(
        [[0.0, 0.25 - EPS, 0.25, 0.75 - EPS, 0.75, top, top], [0.0, top, 0.0, top, 0.25 - EPS, 0.25, top]],
        dtype=torch.float64,
    )
    monkeypatch.setattr(torch, "rand", lambda *_, **__: uniform)
    index, target = table.draw(7, stream(0))
    assert index.tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert target.tolist() == [1, 2, 0, 0, 0, 3, 3]


def test_property_draws_follow_the_law() -> None:
    n = 40_000
    index, target = TABLE.draw(n, stream(5))
    found = torch.zeros(len(TABLE.prob), LANGUAGE.n_tokens, dtype=torch.float64)
    found.index_put_((index, target), torch.full((n,), 1 / n, dtype=torch.float64), accumulate=True)
    expected = TABLE.prob[:, None] * TABLE.conditional
    # Bernstein for each frequency, union over all of them, false alarm 1e-6.
    log = math.log(2 * expected.numel() / 1e-6)
    allowed = (2 * expected * (1 - expected) * log / n).sqrt() + log / (3 * n)
    assert bool(((found - expected).abs() <= allowed).all())


def test_closed_form_entropies_of_a_table() -> None:
    joint = TABLE.prob[:, None] * TABLE.conditional
    floor = -sum(
        float(p) * math.log(float(q)) for p, q in zip(joint.flatten(), TABLE.conditional.flatten(), strict=True)
    )
    unigram = -sum(float(p) * math.log(float(p)) for p in joint.sum(0))
    assert abs(TABLE.entropy_floor - floor) <= 1e3 * EPS
    assert abs(TABLE.unigram_entropy - unigram) <= 1e3 * EPS
    assert abs(TABLE.entropy_floor - LANGUAGE.entropy_floor()) <= 1e3 * EPS


def test_a_table_is_written_only_if_it_is_small() -> None:
    size = len(TABLE.prob) * LANGUAGE.n_tokens
    small = table_if_small(LANGUAGE, size)
    assert small is not None
    assert torch.equal(small.conditional, TABLE.conditional)
    assert table_if_small(LANGUAGE, size - 1) is None
    assert table_if_small(ready_made("hmm")(0)) is None
