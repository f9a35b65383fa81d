"""Property: a stored condition is told by all that it came from, whichever ancestor a change of scale falls on."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.verify.cohorts.examples import TINY
from verify.cohorts import Cohort
from verify.cohorts.scale import Scale
from verify.runs import RunStore
from verify.training import Trainer

CHAIN = (
    ("base", "pretraining"),
    ("adversarial", "intervention"),
    ("adversarial", "descent"),
    ("adversarial-sampled", "continuation"),
    ("adversarial-sampled", "descent"),
    ("flat", "intervention"),
    ("flat", "descent"),
)
ALL = range(7)
CHANGES: dict[str, tuple[Any, tuple[int, ...] | range]] = {
    "members": (2, ALL),
    "width": (8, ALL),
    "layers": (2, ALL),
    "heads": (1, ALL),
    "initial_scale": (2.0, ALL),
    "reference": (32, ALL),
    "pretraining": (11, ALL),
    "batch": (23, ALL),
    "rate": (2e-2, ALL),
    "precision": ("float64", ALL),
    "intervention": (5, range(1, 7)),
    "fine_rate": (4e-3, range(1, 7)),
    "adversary_weight": (0.2, range(1, 5)),
    "adversary_examples": (30, range(1, 5)),
    "anneal": (7, (2, 3, 4, 6)),
    "continuation": (7, (3, 4)),
    "noisy_batch": (7, (3, 4)),
    "noisy_rate": (0.2, (3, 4)),
    "trace_weight": (0.1, (5, 6)),
    "trace_examples": (7, (5, 6)),
    "checkpoints": (2, (0, 2, 4, 6)),
}
"""A field of a scale, another value for it, and the phases of `CHAIN` that it leads to."""
OTHERS = ("name", "families", "further_recoveries", "converged", "spread")
MEASURED = ("labels", "draws", "tested", "probes", "evaluations")
"""Fields that say which conditions there are and what is shown, and how they are measured."""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    return digests(tmp_path_factory.mktemp("expected"), TINY)


def digests(root: Path, scale: Scale) -> dict[tuple[str, str], str]:
    """Train the conditions of the chain; return the key of every phase."""
    store = RunStore(root)
    cohort = Cohort("hmm", scale, 3, store=store)
    for condition in ("adversarial-sampled", "flat"):
        cohort.end(condition)
    kept = {digest: store.record(digest)["key"]["configuration"] for digest in store.digests()}
    return {(own["condition"], own["phase"]): digest for digest, own in kept.items()}


def test_every_field_of_a_scale_is_said_to_matter_to_what_is_trained_or_not() -> None:
    assert sorted([*CHANGES, *OTHERS, *MEASURED]) == sorted(field.name for field in fields(Scale))


@pytest.mark.parametrize("field", CHANGES)
def test_a_condition_is_another_when_an_ancestor_is(
    tmp_path: Path, expected: dict[tuple[str, str], str], field: str
) -> None:
    other, reached = CHANGES[field]
    found = digests(tmp_path, replace(TINY, **{field: other}))
    assert set(found) == set(expected) == set(CHAIN)
    assert [k for k, phase in enumerate(CHAIN) if found[phase] != expected[phase]] == list(reached)


def test_networks_of_two_sizes_and_the_same_numbers_are_not_one() -> None:
    """One head or two, the parameters are the same: only the configuration tells."""
    one, two = (Cohort("hmm", replace(TINY, heads=heads), 3).initial("large", "pretraining") for heads in (1, 2))
    assert all(a.equal(b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_condition_that_began_at_another_start_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base of the other batch size is stored; what is stored of the one after it is another's."""
    run, batches = Trainer.run, []
    Cohort("hmm", TINY, 3, store=RunStore(tmp_path)).end("sampled")
    Cohort("hmm", replace(TINY, batch=20), 3, store=RunStore(tmp_path)).end("base")

    def counted(self: Trainer, until: int) -> None:
        batches.append(self.config.batch)
        run(self, until)

    monkeypatch.setattr(Trainer, "run", counted)
    end = Cohort("hmm", replace(TINY, batch=20), 3, store=RunStore(tmp_path)).end("sampled")
    assert TINY.noisy_batch in batches
    afresh = Cohort("hmm", replace(TINY, batch=20), 3).end("sampled")
    assert all(a.equal(b) for a, b in zip(end.parameters(), afresh.parameters(), strict=True))
