"""The conformance suite: random languages pass it, and each mutant fails by the right property."""

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from synthetic import DownstreamTask, LabelledEnumeration, Language
from synthetic.closed_form import PairLanguage, PairProductTask, TableLanguage
from synthetic.tasks import LabelledSample
from synthetic.testing import ConformanceError, conformance
from synthetic.testing.oracle import dkwm_half_width
from synthetic.testing.properties import PROPERTIES
from synthetic.testing.strategies import languages


@given(languages())
@settings(max_examples=45, deadline=None, derandomize=True)
def test_random_languages_conform(language: Language) -> None:
    # Derandomised: the sampling bands hold with probability 1 - 1e-9 per language, not surely.
    report = conformance(language, n=1000, level=1e-9)
    assert set(report.passed) | set(report.skipped) == set(PROPERTIES)
    assert set(report.skipped) <= {"downstream tasks"}


class Honest(PairLanguage):
    """The language that the mutants below distort."""


class RepeatedToken(Honest):
    vocabulary = ("-1", "-1")


class NoPosition(Honest):
    masked_positions = ()


class PositionOutside(Honest):
    masked_positions = (3,)


class ImproperChannel(Honest):
    def target_channel(self) -> tuple[tuple[Fraction, ...], ...]:
        return ((Fraction(1, 2), Fraction(1, 2)), (Fraction(1, 2), Fraction(1, 3)))


class ForeignToken(Honest):
    def sample(self, n: int, generator: torch.Generator, device: Any = None) -> Tensor:
        return super().sample(n, generator, device) + 1


class WrongShape(Honest):
    def sample(self, n: int, generator: torch.Generator, device: Any = None) -> Tensor:
        return super().sample(n, generator, device)[:, 1:]


class GlobalRandomness(Honest):
    def sample(self, n: int, generator: torch.Generator, device: Any = None) -> Tensor:
        return super().sample(n, torch.default_generator, device)


class AdvancesGlobalState(Honest):
    def sample(self, n: int, generator: torch.Generator, device: Any = None) -> Tensor:
        torch.rand(1)
        return super().sample(n, generator, device)


class IgnoresGenerator(Honest):
    def sample(self, n: int, generator: torch.Generator, device: Any = None) -> Tensor:
        return super().sample(n, torch.Generator().manual_seed(0), device)


class Unnormalised(Honest):
    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        return super().prob_exact(sentence) * Fraction(10**9 + 1, 10**9)


class ShiftedLogProb(Honest):
    def log_prob(self, sentences: Tensor) -> Tensor:
        return super().log_prob(sentences) - 1e-10


class ConditionalOfSinglePrecision(Honest):
    def masked_conditional(self, contexts: Tensor) -> Tensor:
        return super().masked_conditional(contexts).float()


class ConditionalSumsToMore(Honest):
    def masked_conditional(self, contexts: Tensor) -> Tensor:
        return super().masked_conditional(contexts) * (1 + 1e-10)


class ConditionalWithNan(Honest):
    def masked_conditional(self, contexts: Tensor) -> Tensor:
        return super().masked_conditional(contexts) * math.nan


class WrongConditional(Honest):
    """Off by 1e-10 and still a probability vector."""

    def masked_conditional(self, contexts: Tensor) -> Tensor:
        return super().masked_conditional(contexts) + torch.tensor([1e-10, -1e-10]).double()


class WrongLogConditional(Honest):
    def log_masked_conditional(self, contexts: Tensor) -> Tensor:
        return super().log_masked_conditional(contexts) + 1e-10


class WrongEverywhereAtOnce(Honest):
    def log_masked_conditionals(self, sentences: Tensor) -> Tensor:
        return super().log_masked_conditionals(sentences) + 1e-10


class AcceptsAnything(Honest):
    def masked_conditional(self, contexts: Tensor) -> Tensor:
        return super().masked_conditional(contexts.clamp(max=1).where(contexts.ge(0).any(1, True), 0))

    def check_contexts(self, contexts: Tensor) -> Tensor:
        return torch.full((len(contexts),), self.d)


class BiasedSampler(Honest):
    """The right support with another noise."""

    def sample(self, n: int, generator: torch.Generator, device: Any = None) -> Tensor:
        return PairLanguage(self.d, self.alpha / 2).sample(n, generator, device)


class BiasedTargets(Honest):
    def sample_masked(self, n: int, generator: torch.Generator, device: Any = None) -> Any:
        return PairLanguage(self.d, self.alpha / 2).sample_masked(n, generator, device)


class WrongFloor(Honest):
    def entropy_floor(self) -> float:
        return super().entropy_floor() * (1 + 1e-10)


class BrokenFloor(Honest):
    def entropy_floor(self) -> float:
        raise RuntimeError("out of cheese")


class OneLabel(PairProductTask):
    def sample(self, n: int, generator: torch.Generator, device: Any = None) -> LabelledSample:
        sample = super().sample(n, generator, device)
        return replace(sample, labels=2 * sample.labels)


class MislabelledEnumeration(PairProductTask):
    def enumerate(self) -> LabelledEnumeration:
        whole = super().enumerate()
        return replace(whole, labels=-whole.labels)


class LopsidedTask(PairProductTask):
    def sample(self, n: int, generator: torch.Generator, device: Any = None) -> LabelledSample:
        sample = super().sample(n, generator, device)
        return LabelledSample(sample.inputs.clamp(max=1).index_fill(1, torch.tensor([0]), 1), sample.labels)


class Misnamed(Honest):
    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        return {"other": PairProductTask(self.d)}


class WithTask(Honest):
    task: type[PairProductTask] = PairProductTask

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        return {self.task.name: self.task(self.d)}


class WithForeignLabels(WithTask):
    task = OneLabel


class WithWrongLabels(WithTask):
    task = MislabelledEnumeration


class WithLopsidedTask(WithTask):
    task = LopsidedTask


MUTANTS = [
    (RepeatedToken, "declarations", "tokens repeat"),
    (NoPosition, "declarations", "masked_positions"),
    (PositionOutside, "declarations", "masked_positions"),
    (ImproperChannel, "declarations", "no probability vector"),
    (ForeignToken, "sentences lie in the vocabulary", "got 2 at row"),
    (WrongShape, "sentences lie in the vocabulary", "has shape"),
    (GlobalRandomness, "sampling is reproducible", "two different samples"),
    (AdvancesGlobalState, "sampling is reproducible", "global random state"),
    (IgnoresGenerator, "sampling is reproducible", "generator is not used"),
    (Unnormalised, "probabilities sum to one", "sum to 1"),
    (ShiftedLogProb, "probabilities sum to one", "exp log_prob"),
    (ConditionalOfSinglePrecision, "conditionals sum to one", "float32"),
    (ConditionalSumsToMore, "conditionals sum to one", "sums to 1"),
    (ConditionalWithNan, "conditionals sum to one", "NaN"),
    (WrongConditional, "conditionals obey Bayes", "by Bayes"),
    (WrongLogConditional, "conditionals obey Bayes", "log p"),
    (WrongEverywhereAtOnce, "all positions at once", "at position 0"),
    (AcceptsAnything, "bad contexts are rejected", "accepted"),
    (BiasedSampler, "sampling frequencies", "DKWM band"),
    (BiasedTargets, "masked sampling frequencies", "DKWM band"),
    (WrongFloor, "entropy floor", "exactly"),
    (BrokenFloor, "entropy floor", "raised RuntimeError: out of cheese"),
    (Misnamed, "downstream tasks", "is listed as 'other'"),
    (WithForeignLabels, "downstream tasks", "a label outside"),
    (WithWrongLabels, "downstream tasks", "enumerated labels differ"),
    (WithLopsidedTask, "downstream tasks", "DKWM band"),
]


def test_the_undistorted_language_conforms() -> None:
    assert not conformance(Honest(2, 1.5)).skipped


@pytest.mark.parametrize(("mutant", "property_name", "finding"), MUTANTS)
def test_each_mutant_fails_by_the_right_property(mutant: type[PairLanguage], property_name: str, finding: str) -> None:
    with pytest.raises(ConformanceError, match="fails '") as caught:
        conformance(mutant(2, 1.5))
    assert caught.value.property_name == property_name
    assert finding in str(caught.value)


def test_a_wrong_conditional_is_seen_where_enumeration_is_out_of_reach() -> None:
    with pytest.raises(ConformanceError, match="from Bayes on log_prob") as caught:
        conformance(WrongConditional(40, 1.5), n=1000)
    assert caught.value.property_name == "conditionals obey Bayes"


def test_a_grossly_wrong_floor_is_seen_by_sampling_alone() -> None:
    class Halved(Honest):
        def entropy_floor(self) -> float:
            return super().entropy_floor() / 2

    with pytest.raises(ConformanceError, match="sampled"):
        conformance(Halved(40, 0.5))


def test_accepting_an_impossible_context_is_noticed() -> None:
    class Sloppy(TableLanguage):
        def masked_conditional(self, contexts: Tensor) -> Tensor:
            self.check_contexts(contexts)
            return torch.tensor([[1.0, 0.0]]).double().expand(len(contexts), 2)

    with pytest.raises(ConformanceError, match="accepted a context of probability zero"):
        conformance(Sloppy(("a", "b"), {(0, 0): 1}), n=100)


def test_band_holds_its_level() -> None:
    # At n = 20, level 0.2: the chance that a fair coin's two-point distribution leaves the band, exactly.
    n, half_width = 20, dkwm_half_width(20, 0.2)
    outside = sum(math.comb(n, k) for k in range(n + 1) if abs(k / n - 0.5) > half_width) / 2**n
    assert 0 < outside <= 0.2
