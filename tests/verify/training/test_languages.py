"""Stacks whose members have languages of their own: each is trained and measured as it would be alone."""

from dataclasses import replace

import pytest
import torch

from synthetic.hmm import HMM
from tests.verify.training.examples import EPS, small_language, small_network, stream
from verify.training import (
    SGD,
    Adversary,
    ConfigurationError,
    ContextTable,
    Reference,
    Trainer,
    Training,
    context_table,
    excess_loss,
)
from verify.training.batches import BatchStream
from verify.training.data import ExampleStream
from verify.training.tables import tables_of

SEEDS = [5, 6, 7]
LANGUAGES = [small_language(seed=seed) for seed in (1, 2, 3)]
TABLES = [context_table(language) for language in LANGUAGES]
TRAINING = Training(rate=0.05, batch=8, optimiser=SGD(), precision="float64", prefetch=4)
ADVERSARY = Adversary(0.3, "hidden-state-at-2", fitted=8, validated=8)


def seen_language() -> HMM:
    """A chain that never repeats a token: it has fewer contexts than the others."""
    turn = (1 - torch.eye(3, dtype=torch.float64)) / 2
    return HMM(turn, torch.eye(3, dtype=torch.float64), torch.full((3,), 1 / 3, dtype=torch.float64), 4)


@pytest.mark.parametrize(
    ("config", "tables"),
    [
        (TRAINING, True),
        (replace(TRAINING, labels="soft"), False),
        (replace(TRAINING, labels="isotropic"), True),
        (replace(TRAINING, adversary=ADVERSARY), True),
    ],
)
def test_a_member_trains_as_it_would_alone(config: Training, tables: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not tables:
        monkeypatch.setattr("verify.training.tables.table_if_small", lambda language: None)
    network = small_network(LANGUAGES[0], SEEDS, torch.float64)
    together = Trainer(network, LANGUAGES, config, SEEDS)
    together.run(4)
    for member, (language, seed) in enumerate(zip(LANGUAGES, SEEDS, strict=True)):
        alone = Trainer(network.member(member), language, config, [seed])
        alone.run(4)
        # Products of stacked matrices may be summed in another order.
        assert torch.allclose(together.theta[member], alone.theta[0], rtol=0, atol=1e6 * EPS)


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
    network, whole = small_network(languages[0], SEEDS), Reference.each(references)
    found = excess_loss(network, whole)
    for member, reference in enumerate(references):
        own = excess_loss(network.member(member), reference)
        for together, alone in (
            (found.estimate, own.estimate),
            (found.standard_error, own.standard_error),
            (whole.entropy_floor, reference.entropy_floor),
            (whole.learnable_gap, reference.learnable_gap),
        ):
            torch.testing.assert_close(together[member], alone, rtol=1e4 * EPS, atol=1e3 * EPS)
    assert bool((found.standard_error > 0).all()) == (method == "monte-carlo")


def test_tables_of_several_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    written = tables_of(LANGUAGES)
    assert written is not None
    for own, table in zip(written, TABLES, strict=True):
        assert torch.equal(own.conditional, table.conditional)
    assert tables_of(LANGUAGES, TABLES) == TABLES
    assert tables_of(LANGUAGES[:1], TABLES[0]) == TABLES[:1]
    choice = dict(zip(map(id, LANGUAGES), [TABLES[0], None, TABLES[2]], strict=True))
    monkeypatch.setattr("verify.training.tables.table_if_small", lambda language: choice[id(language)])
    assert tables_of(LANGUAGES) is None, "one table too large leaves them all to the languages"
    assert tables_of(LANGUAGES[::2]) == TABLES[::2]


def test_errors() -> None:
    network = small_network(LANGUAGES[0], SEEDS)
    with pytest.raises(ValueError, match="expected one language or 3"):
        Trainer(network, LANGUAGES[:2], TRAINING, SEEDS)
    for other in (small_language(4), small_language(3, 5)):
        with pytest.raises(ValueError, match="give one per seed, of the network's shape"):
            Trainer(network, [*LANGUAGES[:2], other], TRAINING, SEEDS)
    with pytest.raises(ValueError, match="expected one table for each of 3 languages, got 1"):
        Trainer(network, LANGUAGES, TRAINING, SEEDS, table=TABLES[0])
    with pytest.raises(ConfigurationError, match="it has hidden-state-at-2"):
        Trainer(network, LANGUAGES, replace(TRAINING, adversary=Adversary(0.3, "root")), SEEDS)
    exact, sample = Reference.enumerated(TABLES[0]), Reference.sampled(LANGUAGES[1], 5, stream(0))
    for references in ([], [exact, sample], [Reference.each([exact]), exact]):
        with pytest.raises(ValueError, match="references of single languages by one method"):
            Reference.each(references)

    def draw(n: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        return (torch.rand(n, generator=generator),)

    with pytest.raises(ValueError, match="each of 3 members, got 2"):
        BatchStream([draw, draw], [stream(0), stream(1), stream(2)], 4, 2)
