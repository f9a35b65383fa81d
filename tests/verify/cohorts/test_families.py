"""Families of other architectures and of the authors' grammar: laws that they share, derivatives, errors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthetic.hmm import HMM
from synthetic.pcfg import PCFG, layered_grammar, read_plain, write_plain
from tests.verify.cohorts.examples import TINY
from verify.cohorts import FAMILIES, SCALES, Bench, Cohort, Comparison, ScaleError, scale_of
from verify.cohorts.families import AUTHORS_GRAMMAR, NoGrammarError
from verify.networks import Lstm
from verify.training import AdamW, FlatParameters
from verify.training.trace_penalty import random_signs, trace_estimate


@pytest.fixture(scope="module")
def lstms() -> Cohort:
    return Cohort("hmm-lstm", TINY, 11)


def test_renamed_topics_are_the_topics_of_their_seed_and_as_hard_to_tell() -> None:
    own, renamed = (FAMILIES[name].draw(3)[0] for name in ("topics", "topics-renamed"))
    assert isinstance(own, HMM)
    assert isinstance(renamed, HMM)
    # Every position has the topics' laws, in an order of its own.
    at = renamed.emission.reshape(5, 3, 6)
    assert at.sort(2).values.equal(own.emission.sort(1).values.expand(5, 3, 6))
    assert len({tuple(row[0].tolist()) for row in at}) > 1
    classes = [
        FAMILIES[name].task_of(each).enumerate() for name, each in (("topics", own), ("topics-renamed", renamed))
    ]
    shares = [torch.zeros(3).double().index_add(0, one.labels.long(), one.prob) for one in classes]
    torch.testing.assert_close(*shares)


@pytest.mark.parametrize(("other", "name"), [("hmm-lstm", "hmm"), ("hmm-lstm-medium", "hmm-medium")])
def test_a_family_of_lstms_has_the_languages_of_the_one_with_transformers(other: str, name: str) -> None:
    own, same = (FAMILIES[family].draw(3)[0] for family in (other, name))
    sample = same.sample_masked(16, torch.Generator().manual_seed(0))
    assert own.masked_conditional(sample.contexts).equal(same.masked_conditional(sample.contexts))
    assert replace(FAMILIES[other], name=name, network="transformer") == FAMILIES[name]


def test_both_sizes_of_lstms_are_drawn_from_the_members_own_streams(lstms: Cohort) -> None:
    large, small = (lstms.initial(size, "pretraining") for size in ("large", "small"))
    assert isinstance(large, Lstm)
    assert (large.width, small.width, large.stack) == (4, 2, (3,))
    fewer = Cohort("hmm-lstm", replace(TINY, members=2), 11).initial("large", "pretraining")
    for parameter, own in zip(large.parameters(), fewer.parameters(), strict=True):
        assert parameter[:2].equal(own)


@pytest.mark.parametrize("condition", ["flat", "adversarial", "isotropic", "small"])
def test_lstms_are_trained_in_every_way_and_compared(lstms: Cohort, condition: str) -> None:
    comparison = Comparison.of(Bench(lstms), ["base", condition])
    assert not lstms.path(condition).theta[-1].equal(lstms.path(condition).theta[0])
    for contrast in (comparison.gain(condition, "base"), comparison.log_trace_ratio(condition, "base")):
        assert bool(torch.isfinite(contrast.values).all())
        assert np.isfinite(contrast.systematic)


def test_finite_difference_the_trace_penalty_differentiates_an_lstm_twice(lstms: Cohort) -> None:
    flat = FlatParameters(lstms.initial("large", "pretraining"), torch.float64, "cpu")
    contexts = lstms.reference.contexts[:, :8]
    signs = random_signs(
        (1, 8, 6), [torch.Generator().manual_seed(k) for k in range(3)], torch.float64, contexts.device
    )
    start = flat.theta.detach().clone()
    direction = torch.randn(start.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)

    def trace(step: float) -> torch.Tensor:
        flat.theta.copy_(start + step * direction)
        return trace_estimate(flat.network, flat.leaves, contexts, signs)

    slope = (flat.gradient(trace(0.0).sum()) * direction).sum(1)
    wide, narrow = ((trace(h) - trace(-h)).detach() / (2 * h) - slope for h in (4e-4, 2e-4))
    # Errors of central differences fall as h²: by four, up to a relative h² of the next order; a wrong slope's stay.
    torch.testing.assert_close(wide / narrow, torch.full((3,), 4.0, dtype=torch.float64), rtol=1e-2, atol=0)


def test_adam_recovers_on_the_examples_and_for_the_steps_of_the_others(lstms: Cohort) -> None:
    adam, sampled = (lstms.condition(f"adversarial-{name}") for name in ("adam", "sampled"))
    own = adam.training
    assert (own.optimiser, own.decay, own.rate) == (AdamW(), 0, TINY.fine_rate)
    assert replace(own, optimiser=sampled.training.optimiser, rate=sampled.training.rate) == sampled.training
    assert replace(adam, training=sampled.training) == sampled
    assert SCALES["small"].further_recoveries == ()
    assert all("adam" in SCALES[name].further_recoveries for name in ("medium", "paper"))
    assert (
        not lstms.end("adversarial-adam").get_parameter("token").equal(lstms.end("adversarial").get_parameter("token"))
    )


def write(path: Path, seed: int) -> None:
    write_plain(layered_grammar(np.random.default_rng(seed)), path)


def test_the_authors_grammar_is_read_from_the_file_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "one", 0)
    monkeypatch.setenv(AUTHORS_GRAMMAR, str(tmp_path / "one"))
    language, table = FAMILIES["authors"].draw(0)
    assert isinstance(language, PCFG)
    assert list(language.grammar.rules()) == list(read_plain(tmp_path / "one", renormalise=True).rules())
    assert (language.n_tokens, language.length, table) == (200, 16, None)
    assert len(FAMILIES["authors"].task_of(language).label_values) > 1


def test_the_authors_grammar_without_its_file_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(AUTHORS_GRAMMAR, raising=False)
    with pytest.raises(NoGrammarError, match=f"{AUTHORS_GRAMMAR}, got none; set it .* pcfg-authors"):
        FAMILIES["authors"].draw(0)


def test_stored_conditions_of_one_grammar_are_not_those_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for name, seed in (("one", 0), ("two", 1), ("copy", 0)):
        write(tmp_path / name, seed)
        monkeypatch.setenv(AUTHORS_GRAMMAR, str(tmp_path / name))
        cohort = Cohort("authors", replace(TINY, members=1, draws=1, tested=2, reference=16), 11)
        digests.append(cohort._key({"condition": "base"}).digest)
    assert digests[0] == digests[2] != digests[1]


def test_families_other_than_a_scales_own_may_be_named() -> None:
    assert scale_of("default", "medium:hmm-lstm-medium,authors") == replace(
        SCALES["medium"], families=("hmm-lstm-medium", "authors")
    )
    assert scale_of("default") is scale_of("quick", "small") is SCALES["small"]
    assert "authors" not in {family for each in SCALES.values() for family in each.families}


@pytest.mark.parametrize("asked", ["huge", "huge:hmm", ""])
def test_an_unknown_scale_lists_the_valid_ones(asked: str) -> None:
    with pytest.raises(ScaleError, match="among small, long, medium, paper, large, got"):
        scale_of("default", asked or ":hmm")


@pytest.mark.parametrize("families", ["", "hmm,", "hmm,hmm", "esperanto"])
def test_unknown_and_repeated_families_list_the_valid_ones(families: str) -> None:
    with pytest.raises(ScaleError, match=r"different families among hmm, pcfg, .*separate by ','"):
        scale_of("default", f"small:{families}")
