"""Tasks of hidden Markov languages: labels by sums over hidden paths, ties, lengths, features, refusals."""

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from synthetic import PAD, ImpossibleContextError
from synthetic.hmm import HMM, block_hmm, dirichlet_hmm, mixture_of_hmms
from synthetic.hmm.tasks import HiddenStateTask, MixtureComponentTask


def f64(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def small(seed: int, lengths: int | Tensor = 3) -> HMM:
    return dirichlet_hmm(torch.Generator().manual_seed(seed), 3, 2, lengths, emission_concentration=1.0)


def posterior_exact(language: HMM, sentence: list[int], t: int) -> list[Fraction]:
    """Pr(x, s_t = s) for every s, term by term."""
    transition, emission, start = (m.tolist() for m in (language.transition, language.emission, language.start))
    mass = [Fraction(0)] * language.n_states
    for path in itertools.product(range(language.n_states), repeat=len(sentence)):
        prob = Fraction(start[path[0]])
        for s, v in zip(path, sentence, strict=True):
            prob *= Fraction(emission[s][v])
        for s, to in itertools.pairwise(path):
            prob *= Fraction(transition[s][to])
        mass[path[t]] += prob
    return mass


def test_enumeration_the_label_is_the_most_probable_state() -> None:
    language = small(0)
    for t in (1, 2, 3):
        whole = HiddenStateTask(language, t).enumerate()
        for sentence, label in zip(whole.inputs.tolist(), whole.labels.tolist(), strict=True):
            mass = posterior_exact(language, sentence, t - 1)
            assert mass[int(label)] == max(mass)


def test_enumeration_the_component_is_the_most_probable_one() -> None:
    language = mixture_of_hmms([small(1), small(2)], f64([0.5, 0.5]))
    whole = language.downstream["mixture-component"].enumerate()
    seen = set()
    for sentence, label in zip(whole.inputs.tolist(), whole.labels.tolist(), strict=True):
        joint = [part.prob_exact(tuple(sentence)) for part in (small(1), small(2))]
        assert joint[int(label)] == max(joint)
        seen.add(label)
    assert seen == {0.0, 1.0} == set(MixtureComponentTask(language).label_values)


def test_ties_go_to_the_smallest_state() -> None:
    twins = HMM(f64([0.5] * 4).view(2, 2), f64([0.3, 0.7] * 2).view(2, 2), f64([0.5, 0.5]), 2)
    assert set(HiddenStateTask(twins, 1).enumerate().labels.tolist()) == {0.0}


def test_positions_default_to_the_papers_as_far_as_sentences_reach() -> None:
    assert list(small(0, 16).downstream) == ["hidden-state-at-6", "hidden-state-at-10"]
    assert list(small(0, 9).downstream) == ["hidden-state-at-6"]
    assert list(small(0, 5).downstream) == ["hidden-state-at-3"]
    assert list(small(0, 1).downstream) == ["hidden-state-at-1"]
    assert list(small(0, f64([0.5, 0, 0.5, 0, 0, 0, 0])).downstream) == ["hidden-state-at-2"]
    blocks = block_hmm(torch.Generator().manual_seed(0), 4, 3, 3, blocks=2, leave=0.0)
    assert list(blocks.downstream) == ["hidden-state-at-2", "mixture-component"]
    chosen = replace(small(0), state_positions=(3, 1))
    assert list(chosen.downstream) == ["hidden-state-at-3", "hidden-state-at-1"]


def test_inputs_reach_the_position_when_lengths_vary() -> None:
    language = small(3, f64([0.25, 0.5, 0.25]))
    task = HiddenStateTask(language, 2)
    sample = task.sample(500, torch.Generator().manual_seed(0))
    assert (sample.inputs[:, 1] != PAD).all()
    assert (sample.inputs[:, 2] == PAD).any()
    whole = task.enumerate()
    short = whole.inputs[:, 2] == PAD
    assert float(whole.prob[short].sum()) == pytest.approx(2 / 3, rel=1e-14)
    with pytest.raises(ValueError, match="expected a position inside the sentence, got 1 for row 0"):
        task.label(torch.tensor([[0, PAD, PAD]]))


def test_features_are_one_hot() -> None:
    task = HiddenStateTask(small(0, f64([0.5, 0.5])), 1)
    assert task.features(torch.tensor([[1, 0], [1, PAD]])).tolist() == [[0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]


def test_impossible_inputs_are_refused() -> None:
    certain = HMM(f64([1]).view(1, 1), f64([1, 0]).view(1, 2), f64([1]), 2)
    with pytest.raises(ImpossibleContextError, match=r"positive probability, got 'w0 w1' = \[0, 1\]"):
        HiddenStateTask(certain, 1).label(torch.tensor([[0, 1]]))


def test_unreachable_positions_and_missing_components_are_refused() -> None:
    for position in (0, 3):
        with pytest.raises(ValueError, match=rf"among 1\.\.2, got {position}"):
            HiddenStateTask(small(0, f64([0.5, 0.5, 0])), position)
    with pytest.raises(ValueError, match="expected a language with groups, got HMM"):
        MixtureComponentTask(small(0))
