"""The hidden Markov language: tokens emitted by the states of a Markov chain that is not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.hmm.chains import chain_graph, reversed_transition, stationary_law
from synthetic.hmm.checks import check_groups, check_names, check_parameters, check_positions, normalise_rows
from synthetic.hmm.exact import ExactLaw, Support
from synthetic.hmm.inference import HiddenMarkovInference
from synthetic.hmm.sampling import HMMSampler
from synthetic.hmm.tasks import HiddenStateTask, MixtureComponentTask, default_positions
from synthetic.tasks import DownstreamTask, check_sample_size


@dataclass(frozen=True, eq=False, repr=False)
class HMM(HiddenMarkovInference):
    """Sentences of a chain s_1, s_2, … with s_1 ~ start, s_{t+1} ~ A(s_t, ·), each state emitting x_t ~ E(s_t, ·).

    P(x_1 … x_ℓ) = λ(ℓ) Σ_s start(s_1) E(s_1, x_1) Π_{t<ℓ} A(s_t, s_{t+1}) E(s_{t+1}, x_{t+1}), with a length ℓ that is
    fixed or independent of the rest with law λ. The length is seen, so it cancels from the conditionals

        p*(v | x_{−t}) ∝ Σ_s f_t(s) b_t(s) E(s, v),

    f_t the prediction of s_t from the tokens before t and b_t the likelihood of those after
    (`synthetic.hmm.inference`). Relative error at most some T·S units of float64 rounding; of sentences with messages
    next to underflow, T units of rounding of the largest logarithm. Source: the standard model; its use for
    masked-token pretraining after the paper's HMM experiments (second-hand).

    Attributes:
        transition: A, state × state, float64; rows sum to one, as in `emission` and `start`.
        emission: E, state × token.
        start: law of the first state.
        lengths: the fixed length T, or the probabilities λ(1), …, λ(T) of the lengths.
        vocabulary: the tokens' names; w0, w1, … by default.
        groups: mixture component of each state, 0 … K−1, in a model whose transitions never leave a component.
        state_positions: positions, counted from 1, whose hidden state is a downstream task; by default the paper's 6
            and 10 as far as sentences reach them, else the middle.

    >>> half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> stay = torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=torch.float64)
    >>> language = HMM(stay, torch.eye(2, dtype=torch.float64), half, 3)  # states are seen: a Markov chain
    >>> language.masked_conditional(torch.tensor([[0, -1, 0], [0, -1, 1]]))
    tensor([[0.9000, 0.1000],
            [0.5000, 0.5000]], dtype=torch.float64)
    """

    family: ClassVar[str] = "hmm"
    transition: Float[Tensor, "..."]
    emission: Float[Tensor, "..."]
    start: Float[Tensor, "..."]
    lengths: int | Float[Tensor, "..."]
    vocabulary: tuple[str, ...] = ()
    groups: tuple[int, ...] | None = None
    state_positions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the parameters (see `synthetic.hmm.checks` for what is raised); fill in the names of tokens."""
        check_parameters(self.transition, self.emission, self.start, self.lengths)
        if not isinstance(self.lengths, Tensor):
            object.__setattr__(self, "lengths", int(self.lengths))
        n_tokens = self.emission.shape[1]
        object.__setattr__(self, "padded", isinstance(self.lengths, Tensor))
        object.__setattr__(self, "vocabulary", self.vocabulary or tuple(f"w{v}" for v in range(n_tokens)))
        check_names(self.vocabulary, n_tokens)
        if self.groups is not None:
            check_groups(self.groups, self.transition)
        check_positions(self.state_positions or (), self.longest)

    @classmethod
    def normalised(
        cls,
        transition: Float[Tensor, "..."],
        emission: Float[Tensor, "..."],
        start: Float[Tensor, "..."],
        lengths: int | Float[Tensor, "..."],
        **more: Any,
    ) -> HMM:
        """Return the model of non-negative weights, each row divided by its sum; in any floating type.

        Raises:
            ProbabilityError: naming a row without a positive finite sum. The rest: see the constructor.
        """
        law = normalise_rows("lengths", lengths[None])[0] if isinstance(lengths, Tensor) else lengths
        return cls(
            normalise_rows("transition", transition),
            normalise_rows("emission", emission),
            normalise_rows("start", start[None])[0],
            law,
            **more,
        )

    @property
    def n_states(self) -> int:
        return len(self.start)

    @property
    def length(self) -> int:
        return self.lengths.numel() if isinstance(self.lengths, Tensor) else int(self.lengths)

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """The tasks `hidden-state-at-t` for each of `state_positions`, and `mixture-component` if there are groups."""
        positions = default_positions(self) if self.state_positions is None else self.state_positions
        tasks: list[DownstreamTask] = [HiddenStateTask(self, t) for t in positions]
        if self.groups is not None:
            tasks.append(MixtureComponentTask(self))
        return {task.name: task for task in tasks}

    def reaching(self, position: int) -> HMM:
        if not isinstance(self.lengths, Tensor):
            return self
        law = self.lengths.clone()
        law[: position - 1] = 0.0
        return replace(self, lengths=law / law.sum())

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return P(x) of the parameters as they are, by the forward recursion in Fractions."""
        return self._exact.prob(sentence)

    @property
    def n_candidates(self) -> int:
        """Number of possible sentences; of all strings where there are too many to count (beyond 2^53)."""
        return super().n_candidates if self._support.size is None else self._support.size

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        """Return the possible sentences, the shorter ones first."""
        return super().candidates() if self._support.size is None else self._support.sentences()

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences from the generator's stream: lengths, states and tokens by inversion (`RowSampler`)."""
        check_sample_size(n)
        return self._sampler.sample(n, generator, device or generator.device)

    def length_law(self) -> dict[int, float]:
        """Return Pr(length = ℓ) for every ℓ of positive probability."""
        if not isinstance(self.lengths, Tensor):
            return {self.length: 1.0}
        return {length: prob for length, prob in enumerate(self.lengths.tolist(), start=1) if prob > 0}

    def stationary_start(self) -> Float[Tensor, " state"]:
        """Return the stationary law π = πA of the states, to be used as `start`; see `stationary_law`."""
        return stationary_law(self.transition)

    def reversed(self) -> HMM:
        """Return the law of the sentences read backwards: transitions Ā(s', s) = π(s) A(s, s') / π(s'), π the start.

        A state that is never visited gets a loop. Raises StationaryError unless the start is stationary (1e-12).
        """
        return replace(self, transition=reversed_transition(self.transition, self.start))

    def graph(self) -> nx.DiGraph:
        """Return the hidden chain, see `chain_graph`; a node's group is its mixture component."""
        return chain_graph(self.transition, self.start, self.length, self.groups)

    def __repr__(self) -> str:
        size = f"<= {self.length}" if self.padded else self.length
        return f"HMM({self.n_states} states, {self.n_tokens} tokens, length {size})"

    @cached_property
    def _sampler(self) -> HMMSampler:
        return HMMSampler.of(self.transition, self.emission, self.start, self.lengths)

    @cached_property
    def _exact(self) -> ExactLaw:
        return ExactLaw(self.transition, self.emission, self.start, self.lengths)

    @cached_property
    def _support(self) -> Support:
        return Support(self.transition, self.emission, self.start, self.lengths)
