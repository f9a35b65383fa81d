"""Downstream tasks of hidden Markov languages: what a sentence says about its hidden states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.hmm.checks import check_positions
from synthetic.hmm.inference import HiddenMarkovInference
from synthetic.language import Language
from synthetic.sentence_tasks import SentenceTask, first_of_best

PAPER_POSITIONS = (6, 10)
"""Positions, counted from 1, of the paper's hidden-state tasks (second-hand)."""


def default_positions(language: HiddenMarkovInference) -> tuple[int, ...]:
    """Return those of the paper's positions that sentences reach, else the middle one, counted from 1."""
    reached = tuple(t for t in PAPER_POSITIONS if t <= language.longest)
    return reached or ((language.longest + 1) // 2,)


@dataclass(frozen=True)
class HiddenStateTask(SentenceTask):
    """Tell the most probable hidden state at a position, argmax_s Pr(s_t = s | x), from the whole sentence x.

    Of near-equal states the smallest (`first_of_best`). Inputs are sentences of the language; where lengths vary, of
    its law given that they reach the position. Source: the paper's HMM tasks (second-hand); the tie rule is ours.

    Attributes:
        position: t, counted from 1 as in the task's name.
    """

    language: HiddenMarkovInference
    position: int

    def __post_init__(self) -> None:
        """Check that some sentence reaches the position; ValueError otherwise, see `check_positions`."""
        check_positions((self.position,), self.language.longest)

    @property
    def name(self) -> str:
        return f"hidden-state-at-{self.position}"

    @property
    def label_values(self) -> tuple[float, ...]:
        return tuple(map(float, range(len(self.language.start))))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the most probable state; ImpossibleContextError for a sentence of probability zero."""
        at = torch.full((len(inputs),), self.position - 1, dtype=torch.int64, device=inputs.device)
        return first_of_best(self.language.state_posterior_at(inputs, at).log()).to(torch.float64)

    @property
    def source(self) -> Language:
        return self.language.reaching(self.position)


@dataclass(frozen=True)
class MixtureComponentTask(SentenceTask):
    """Tell the most probable component of a mixture, argmax_k Σ_{s in k} Pr(s_1 = s | x), from the sentence x.

    Of near-equal components the smallest (`first_of_best`). Inputs are sentences of the language. Source: ours.

    Attributes:
        language: a hidden Markov language with `groups`.
    """

    name: ClassVar[str] = "mixture-component"
    language: HiddenMarkovInference

    def __post_init__(self) -> None:
        """Check that there are components.

        Raises:
            ValueError: if the language has no `groups`.
        """
        if self.language.groups is None:
            raise ValueError(
                f"expected a language with groups, got {self.language!r}; build it with mixture_of_hmms(components, "
                "weights), or give the component of each state as groups"
            )

    @property
    def label_values(self) -> tuple[float, ...]:
        return tuple(map(float, range(1 + max(self.language.groups or (0,)))))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the most probable component; ImpossibleContextError for a sentence of probability zero."""
        at = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
        states = self.language.state_posterior_at(inputs, at)
        groups = torch.tensor(self.language.groups, device=inputs.device)
        prob = states.new_zeros((len(inputs), len(self.label_values))).index_add(1, groups, states)
        return first_of_best(prob.log()).to(torch.float64)
