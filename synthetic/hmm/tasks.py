"""Downstream tasks of hidden Markov languages: what a sentence says about its hidden states."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.hmm.checks import check_positions
from synthetic.hmm.language import HMM
from synthetic.tasks import DownstreamTask, LabelledEnumeration
from synthetic.tokens import PAD

PAPER_POSITIONS = (6, 10)
"""Positions, counted from 1, of the paper's hidden-state tasks (second-hand)."""

TIE = 1e-12
"""Probabilities within this relative distance of the greatest one count as equal to it."""


def default_positions(language: HMM) -> tuple[int, ...]:
    """Return those of the paper's positions that sentences reach, else the middle one, counted from 1."""
    reached = tuple(t for t in PAPER_POSITIONS if t <= language.longest)
    return reached or ((language.longest + 1) // 2,)


def most_probable(prob: Float[Tensor, "row outcome"]) -> Float[Tensor, " row"]:
    """Return the index of each row's greatest entry, as float64; of near-equal ones (`TIE`) the smallest."""
    return (prob >= (1 - TIE) * prob.amax(1, keepdim=True)).to(torch.int8).argmax(1).to(torch.float64)


class _PosteriorTask(DownstreamTask):
    """A label read off a posterior; inputs are sentences of a language."""

    @property
    @abstractmethod
    def _inputs(self) -> HMM:
        """The language of the inputs."""

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return the sentence in one-hot code, position by position: T·c numbers, 0 at padding."""
        known = torch.eye(self._inputs.n_tokens, dtype=torch.float64, device=inputs.device)[inputs.clamp(min=0)]
        return known.masked_fill((inputs == PAD)[:, :, None], 0.0).flatten(1)

    def enumerate(self) -> LabelledEnumeration:
        """Return every sentence with label and probability; EnumerationTooLargeError above the limit."""
        whole = self._inputs.enumerate()
        return LabelledEnumeration(whole.sentences, self.label(whole.sentences), whole.prob)

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        return self._inputs.sample(n, generator)


@dataclass(frozen=True, eq=False)
class HiddenStateTask(_PosteriorTask):
    """Tell the most probable hidden state at a position, argmax_s Pr(s_t = s | x), from the whole sentence x.

    Of near-equal states (1e-12 relative) the smallest. Inputs are sentences of the language; where lengths vary, of
    its law given that they reach the position. Source: the paper's HMM tasks (second-hand); the tie rule is ours.

    Attributes:
        language: the hidden Markov language.
        position: t, counted from 1 as in the task's name.
    """

    language: HMM
    position: int

    def __post_init__(self) -> None:
        """Check that some sentence reaches the position; ValueError otherwise, see `check_positions`."""
        check_positions((self.position,), self.language.longest)

    @property
    def name(self) -> str:
        """`hidden-state-at-t`."""
        return f"hidden-state-at-{self.position}"

    @property
    def label_values(self) -> tuple[float, ...]:
        """The numbers of the states."""
        return tuple(map(float, range(self.language.n_states)))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the most probable state; ImpossibleContextError for a sentence of probability zero."""
        at = torch.full((len(inputs),), self.position - 1, dtype=torch.int64, device=inputs.device)
        return most_probable(self.language.state_posterior_at(inputs, at))

    @property
    def _inputs(self) -> HMM:
        if not isinstance(self.language.lengths, Tensor):
            return self.language
        law = self.language.lengths.clone()
        law[: self.position - 1] = 0.0
        return replace(self.language, lengths=law / law.sum())


@dataclass(frozen=True, eq=False)
class MixtureComponentTask(_PosteriorTask):
    """Tell the most probable component of a mixture, argmax_k Σ_{s in k} Pr(s_1 = s | x), from the sentence x.

    Of near-equal components (1e-12 relative) the smallest. Inputs are sentences of the language. Source: ours.

    Attributes:
        language: a hidden Markov language with `groups`.
    """

    name: ClassVar[str] = "mixture-component"
    language: HMM

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
        """The numbers of the components."""
        return tuple(map(float, range(1 + max(self.language.groups or (0,)))))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the most probable component; ImpossibleContextError for a sentence of probability zero."""
        at = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
        states = self.language.state_posterior_at(inputs, at)
        groups = torch.tensor(self.language.groups, device=inputs.device)
        prob = states.new_zeros((len(inputs), len(self.label_values))).index_add(1, groups, states)
        return most_probable(prob)

    @property
    def _inputs(self) -> HMM:
        return self.language
