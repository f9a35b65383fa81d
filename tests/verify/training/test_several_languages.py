"""What several languages in a stack share, and what they must not: tables, references, monitors, errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from synthetic.hmm.language import HMM
from tests.verify.training.examples import EPS, small_language, small_network, stream
from tests.verify.training.trainers import PLAIN, SEEDS
from verify.training.data import ExampleStream
from verify.training.excess import Reference, excess_loss
from verify.training.matching import ExcessMonitor
from verify.training.polish import polish
from verify.training.tables import ContextTable, context_table, tables_of
from verify.training.trainer import Every, Trainer

LANGUAGES = [small_language(seed=seed) for seed in (1, 2, 3)]
TABLES = [context_table(language) for language in LANGUAGES]
EXACT = replace(PLAIN, labels="soft", precision="float64")


def seen_language() -> HMM:
    """A chain that never repeats a token: it has fewer contexts than the others."""
    turn = (1 - torch.eye(3, dtype=torch.float64)) / 2
    return HMM(turn, torch.eye(3, dtype=torch.float64), torch.full((3,), 1 / 3, dtype=torch.float64), 4)


@pytest.mark.parametrize("tables", [TABLES, None])
@pytest.mark.parametrize("conditional", [False, True])
def test_property_examples_are_those_of_the_members_own_language(
    tables: list[ContextTable] | None, conditional: bool
) -> None:
    options = {"batch": 4, "conditional": conditional, "prefetch": 2}
    together = ExampleStream(LANGUAGES, tables, SEEDS, stack=(3,), **options)  # type: ignore[arg-type]
    alone = [
        ExampleStream(language, None if tables is None else table, [seed], stack=(1,), **options)  # type: ignore[arg-type]
        for language, table, seed in zip(LANGUAGES, TABLES, SEEDS, strict=True)
    ]
    for _ in range(5):
        batch = together.next()
        for member, stream_of_one in enumerate(alone):
            own = stream_of_one.next()
            assert torch.equal(batch.contexts[member], own.contexts[0])
            assert torch.equal(batch.targets[member], own.targets[0])
            assert (batch.conditional is None) == (not conditional)
            if batch.conditional is not None and own.conditional is not None:
                assert torch.equal(batch.conditional[member], own.conditional[0])


@pytest.mark.parametrize("method", ["enumeration", "monte-carlo"])
def test_enumeration_an_excess_per_language(method: str) -> None:
    """One language has fewer contexts: what fills its reference up has no weight, in the error neither."""
    languages = [*LANGUAGES[:2], seen_language()]
    if method == "enumeration":
        references = [Reference.enumerated(context_table(language)) for language in languages]
        assert len({len(own.contexts) for own in references}) == 2
    else:
        sizes = zip(languages, (50, 60, 40), strict=True)
        references = [Reference.sampled(language, n, stream(n)) for language, n in sizes]
    network = small_network(languages[0], SEEDS)
    found = excess_loss(network, Reference.each(references))
    assert found.n == max(len(own.contexts) for own in references)
    for member, reference in enumerate(references):
        own = excess_loss(network.member(member), reference)
        for name in ("estimate", "standard_error", "entropy_floor", "learnable_gap", "share"):
            together, alone = getattr(found, name)[member], getattr(own, name)
            torch.testing.assert_close(together, alone, rtol=1e4 * EPS, atol=1e3 * EPS, msg=name)
    assert bool((found.standard_error > 0).all()) == (method == "monte-carlo")


def test_property_monitors_and_polishing_take_several_languages() -> None:
    reference = Reference.each([Reference.enumerated(table) for table in TABLES])
    monitor = ExcessMonitor(reference)
    trainer = Trainer(small_network(LANGUAGES[0], SEEDS), LANGUAGES, PLAIN, SEEDS, table=TABLES)
    trainer.run(4, [Every(2, monitor)])
    assert torch.equal(monitor.curve[-1], excess_loss(trainer.snapshot(), reference).estimate)
    found = polish(trainer.snapshot(), LANGUAGES, reference, steps=40, rate=0.02, seeds=[8, 9, 10], batch=32)
    assert bool((found.polished_excess.estimate < found.raw_excess.estimate).all())


def test_tables_of_several_languages() -> None:
    written = tables_of(LANGUAGES)
    assert written is not None
    for own, table in zip(written, TABLES, strict=True):
        assert torch.equal(own.conditional, table.conditional)
    assert tables_of(LANGUAGES, TABLES) == TABLES
    assert tables_of(LANGUAGES[:1], TABLES[0]) == TABLES[:1]
    with pytest.raises(ValueError, match="expected one table for each of 3 languages, got 1"):
        tables_of(LANGUAGES, TABLES[0])


def test_one_table_too_large_leaves_them_all_to_the_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = dict(zip(map(id, LANGUAGES), [TABLES[0], None, TABLES[2]], strict=True))
    monkeypatch.setattr("verify.training.tables.table_if_small", lambda language: choice[id(language)])
    assert tables_of(LANGUAGES) is None
    assert tables_of(LANGUAGES[::2]) == TABLES[::2]


def test_errors() -> None:
    network = small_network(LANGUAGES[0], SEEDS)
    other_shapes = (small_language(4), small_language(3, 5))
    for languages in ([*LANGUAGES[:2], other] for other in other_shapes):
        with pytest.raises(ValueError, match="give one per seed, of the network's shape"):
            Trainer(network, languages, PLAIN, SEEDS)
    with pytest.raises(ValueError, match="expected one table for each of 3 languages"):
        Trainer(network, LANGUAGES, PLAIN, SEEDS, table=TABLES[0])
    exact = Reference.enumerated(TABLES[0])
    with pytest.raises(ValueError, match="expected references of single languages by one method"):
        Reference.each([Reference.each([exact]), exact])
