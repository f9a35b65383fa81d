"""Conditions that are compared differ in one thing, and in nothing else."""

from dataclasses import replace

import pytest

from tests.verify.cohorts.examples import TINY
from verify.cohorts import FAMILIES
from verify.cohorts.conditions import CONDITIONS, RELAXED_RUNS, Condition, anneal, relaxation
from verify.training import SGD, TracePenalty
from verify.training.labels import LABELS


def condition(name: str) -> Condition:
    return CONDITIONS[name](TINY, FAMILIES["hmm"])


@pytest.mark.parametrize(("prefix", "start"), [("", "base"), ("adversarial-", "adversarial")])
def test_continuations_differ_in_their_labels_alone(prefix: str, start: str) -> None:
    first = condition(f"{prefix}sampled")
    assert (first.start, first.training.optimiser, first.training.decay) == (start, SGD(), 0)
    for labels in LABELS:
        assert condition(prefix + labels) == replace(first, training=replace(first.training, labels=labels))


def test_interventions_differ_in_their_term_alone() -> None:
    plain = condition("plain")
    assert (plain.training.labels, anneal(TINY).labels) == ("soft", "soft")
    for name, weight in (("flat", TINY.trace_weight), ("sharp", -TINY.trace_weight)):
        penalty = TracePenalty(weight, TINY.trace_examples)
        assert condition(name) == replace(plain, training=replace(plain.training, trace_penalty=penalty))
    adversary = condition("adversarial").training.adversary
    assert condition("adversarial") == replace(plain, training=replace(plain.training, adversary=adversary))


@pytest.mark.parametrize(("name", "share"), [("", 1.0), ("-half", 0.5), ("-double", 2.0)])
def test_penalised_continuations_differ_from_soft_ones_in_the_penalty_and_its_examples(name: str, share: float) -> None:
    """λ = η/4B, `weight` of flatness-mediates, on all examples of a step."""
    soft = condition("relaxed-soft")
    penalised = condition(f"relaxed-penalised{name}")
    penalty = penalised.training.trace_penalty
    assert penalty == TracePenalty(share * TINY.noisy_rate / (4 * TINY.noisy_batch), TINY.batch)
    assert penalised == replace(soft, training=replace(soft.training, batch=TINY.batch, trace_penalty=penalty))


def test_relaxed_conditions_differ_from_annealed_ones_in_the_descent_and_runs_in_their_examples() -> None:
    assert condition("relaxed-soft") == replace(condition("soft"), relaxes=True)
    streams = {condition(name).stream for name in RELAXED_RUNS}
    assert len(streams) == len(RELAXED_RUNS)
    for name in RELAXED_RUNS:
        assert replace(condition(name), stream="continuation", relaxes=False) == condition("sampled")
    descent = relaxation(TINY)
    assert (descent.labels, descent.optimiser, descent.factor(descent.decay)) == ("soft", SGD(), 0)
