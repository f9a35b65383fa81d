"""Conditions that are compared differ in one thing, and in nothing else."""

from dataclasses import replace

import pytest

from tests.verify.cohorts.examples import TINY
from verify.cohorts import FAMILIES
from verify.cohorts.conditions import CONDITIONS, Condition, anneal
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
