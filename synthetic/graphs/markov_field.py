"""Markov random fields: what all languages with P(x) ∝ exp Σ (local terms) share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Literal

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.enumeration import EXACT_ENUMERATION_LIMIT, check_size, normalised_exponentials
from synthetic.graphs.coupling import CouplingError, MonotoneChain, sample_coupled
from synthetic.graphs.elimination import EliminationTree, Scope, TreewidthError, moral_graph, total_conditional_entropy
from synthetic.graphs.gibbs import GibbsSample, MixingError, run_gibbs
from synthetic.graphs.incidence import Incidence, incidence
from synthetic.language import Language
from synthetic.sentence_tasks import PluralityTask
from synthetic.tasks import DownstreamTask, check_sample_size

CHUNK = 2**18
"""Numbers of one intermediate array (2 MiB); longer batches are cut, so that it stays in the cache."""

GIBBS_SWEEPS, GIBBS_R_HAT = 400, 1.02
"""What `sample` does with sampler="gibbs": sweeps, and the R̂ above which it refuses."""

Sampler = Literal["exact", "elimination", "coupling", "gibbs"]
SAMPLERS: tuple[Sampler, ...] = ("exact", "elimination", "coupling", "gibbs")


class MarkovField(Language):
    """A language P(x) = exp(w(x)) / Z, log Z = log Σ_x exp w(x), whose w is a sum of terms of few positions each.

    The conditional of a token depends on the positions that share a term with it, so it is exact at any size:

        p*(v | x_{−t}) ∝ exp Σ_{terms around t} term(x with x_t = v).

    log Z, hence `log_prob`, needs variable elimination (`synthetic.graphs.elimination`) and a graph of small treewidth;
    beyond it `log_weight` still gives w. Terms are finite, so every sentence has positive probability.

    `sampler` says how `sample` draws: "exact" (elimination, or else perfect sampling by coupling where that applies),
    "elimination", "coupling", or "gibbs", which is approximate: `sample` refuses if the chains' R̂ exceeds
    GIBBS_R_HAT after GIBBS_SWEEPS sweeps, and `gibbs` gives the choice of sweeps and the diagnostic itself.
    Source: ours.
    """

    masked_positions: tuple[int, ...]
    sampler: Sampler

    @abstractmethod
    def _interactions(self) -> tuple[Sequence[Scope], Sequence[float | int]]:
        """Return the terms of which `_local_log_weights` is told through an Incidence, and their weights."""

    @abstractmethod
    def _tables(self) -> tuple[int, list[Scope], list[Tensor]]:
        """Return scopes and logarithmic tables of all terms, each less its largest value, for elimination.

        First the number of variables: the positions, and after them perhaps others that are functions of them.
        """

    @property
    @abstractmethod
    def _ceiling(self) -> float:
        """The sum of the terms' largest values."""

    @abstractmethod
    def _deficits(self, states: Int64[Tensor, "position sentence"]) -> Float[Tensor, " sentence"]:
        """Return w(x) − ceiling ≤ 0, each term less its largest value, so that likely sentences keep their digits."""

    @abstractmethod
    def _local_log_weights(
        self, states: Int64[Tensor, "position sentence"], around: Incidence
    ) -> Float[Tensor, "place token sentence"]:
        """Return log p*(v | x_{−t}) up to a constant for t = around.positions."""

    @abstractmethod
    def _log_weights_at(
        self, contexts: Int64[Tensor, "context position"], positions: Int64[Tensor, " context"], around: Incidence
    ) -> Float[Tensor, "context token"]:
        """Return log p*(v | x_{−t}) up to a constant for one t per row; `around` holds all positions."""

    @abstractmethod
    def _exponent_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return w(x) from the parameters' exact values."""

    def _monotone_chain(self) -> MonotoneChain | None:
        """Return the monotone dynamics, if there is one."""
        return None

    def _check_field(self) -> None:
        """Put the default masked positions; raise ValueError on an unknown sampler or positions out of range."""
        masked = tuple(self.masked_positions) or tuple(range(self.length))
        object.__setattr__(self, "masked_positions", masked)
        if not set(masked) <= set(range(self.length)) or len(set(masked)) < len(masked):
            raise ValueError(
                f"expected distinct masked positions among 0..{self.length - 1}, got {masked}; () masks all of them"
            )
        if self.sampler not in SAMPLERS:
            raise ValueError(f"expected a sampler among {SAMPLERS}, got {self.sampler!r}; choose one of them")

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """The task `plurality`: label the most frequent token; see `synthetic.sentence_tasks` for more."""
        return {PluralityTask.name: PluralityTask(self, hidden=self.hidden)}

    @property
    def hidden(self) -> tuple[int, ...]:
        """Positions that downstream inputs hide: the masked ones, if only some are ever masked."""
        return self.masked_positions if len(self.masked_positions) < self.length else ()

    @property
    def log_partition(self) -> float:
        """Log Z in nats; exact to float64 rounding. TreewidthError if the treewidth is too large."""
        return self._ceiling + self._tree.log_partition

    def log_weight(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return w(x) = log P(x) + log Z in nats, at any treewidth."""
        self.check_sentences(sentences)
        return self._ceiling + self._all_deficits(sentences)

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return w(x) − log Z.

        Raises:
            TreewidthError: if the treewidth is too large for log Z; `log_weight` needs none.
        """
        self.check_sentences(sentences)
        return self._all_deficits(sentences) - self._tree.log_partition

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return P(x) with each weight exp w(x) to 60 digits, normalised over all sentences as Fractions.

        EnumerationTooLargeError above EXACT_ENUMERATION_LIMIT sentences.
        """
        if sentence not in self._exact_law:
            self.check_sentences(torch.tensor([sentence]))
        return self._exact_law[sentence]

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(y | x_{−t}) from the terms around t alone; exact to float64 rounding at any treewidth."""
        positions = self.check_contexts(contexts)
        around = self._around.to(contexts.device)
        size = max(1, CHUNK // self.length)
        parts = zip(torch.split(contexts, size), torch.split(positions, size), strict=True)
        return torch.cat([_log_normalised(self._log_weights_at(rows, t, around), 1) for rows, t in parts])

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return log p*(y | x_{−t}) for every position in one pass; exact to float64 rounding at any treewidth."""
        self.check_sentences(sentences)
        around = self._around.to(sentences.device)
        shape = (*sentences.shape, self.n_tokens)
        found = torch.empty(shape, dtype=torch.float64, device=sentences.device)
        size = max(1, CHUNK // (self.length * self.n_tokens))
        for rows, part in zip(torch.split(sentences, size), torch.split(found, size), strict=True):
            log_weights = self._local_log_weights(rows.T.contiguous(), around)
            # As a transposition of two axes, which is much faster than a permutation of three.
            part.flatten(1).copy_(_log_normalised(log_weights, 1)[around.place].flatten(0, 1).T)
        return found

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        device: torch.device | str | None = None,
        sampler: Sampler | None = None,
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n independent sentences from the generator's stream, exactly unless the sampler is "gibbs".

        Args:
            n: number of draws.
            generator: source of all randomness, on its device.
            device: where the draws go; default: the generator's device.
            sampler: overrides the language's own.

        Raises:
            TreewidthError: if the treewidth is too large and no exact sampler applies; names what does.
            CouplingError: if coupling does not apply, or the chains do not meet within its cap.
            MixingError: if the Gibbs chains have not mixed.
            ValueError: if n is negative or the sampler is unknown.
        """
        check_sample_size(n)
        sampler = sampler or self.sampler
        if sampler not in SAMPLERS:
            raise ValueError(f"expected a sampler among {SAMPLERS}, got {sampler!r}; choose one of them")
        if sampler == "gibbs":
            run = self.gibbs(n, generator, GIBBS_SWEEPS)
            if not run.r_hat <= GIBBS_R_HAT:
                raise MixingError(
                    f"expected Gibbs chains with split R-hat <= {GIBBS_R_HAT} after {GIBBS_SWEEPS} sweeps, got "
                    f"{run.r_hat:.4g}; call gibbs(n, generator, sweeps) with more sweeps and read its r_hat, "
                    "or weaken the couplings"
                )
            return run.sentences.to(device or generator.device)
        found = self._elimination if sampler != "coupling" else None
        if isinstance(found, EliminationTree):
            return found.sample(n, generator)[:, : self.length].contiguous().to(device or generator.device)
        chain = self._monotone_chain() if sampler != "elimination" else None
        if chain is not None:
            return sample_coupled(chain, n, generator).to(device or generator.device)
        if found is not None:
            raise TreewidthError(str(found))
        raise CouplingError(
            "expected pairs of two tokens without a frustrated cycle, got larger or frustrated interactions or more "
            'tokens; use sampler="elimination" if the treewidth is small, or sampler="gibbs", which is approximate'
        )

    def gibbs(self, n: int, generator: torch.Generator, sweeps: int = GIBBS_SWEEPS) -> GibbsSample:
        """Draw n sentences *approximately*, each the end of its own Gibbs chain, with the diagnostic R̂.

        ValueError if n is negative or sweeps < 8.
        """
        check_sample_size(n)
        shape = (self.length, self.n_tokens)
        return run_gibbs(shape, self._classes, self._local_log_weights, self._deficits, n, sweeps, generator)

    def entropy_floor(self) -> float:
        """Return L* in nats, exactly: E H(p*(· | x_{−t})) over the law of the positions that share a term with t.

        That law comes from elimination on the graph in which t and its neighbours form a clique: for all t in one, or
        for half of them at a time where that is too wide. Where even one t is too wide, by enumeration:
        EnumerationTooLargeError above ENUMERATION_LIMIT candidate contexts.
        """
        near = self._moral
        blankets = [(*sorted(near[t]), t) for t in self.masked_positions]
        try:
            return total_conditional_entropy(self._eliminate, blankets) / len(blankets)
        except TreewidthError:
            return super().entropy_floor()

    @cached_property
    def _moral(self) -> nx.Graph:
        return moral_graph(self.length, self._interactions()[0])

    @cached_property
    def _around(self) -> Incidence:
        return incidence(self.length, *self._interactions(), range(self.length))

    @cached_property
    def _classes(self) -> list[Incidence]:
        """The interactions around each colour class of a colouring in which no term joins two of a colour."""
        colour = nx.greedy_color(self._moral)
        classes = [[t for t in range(self.length) if colour[t] == k] for k in range(1 + max(colour.values()))]
        return [incidence(self.length, *self._interactions(), positions) for positions in classes]

    @cached_property
    def _elimination(self) -> EliminationTree | TreewidthError:
        try:
            return self._eliminate(())
        except TreewidthError as error:
            return error

    def _eliminate(self, extra: Sequence[Scope]) -> EliminationTree:
        n_variables, scopes, tables = self._tables()
        return EliminationTree(n_variables, self.n_tokens, scopes, tables, extra)

    @property
    def _tree(self) -> EliminationTree:
        if isinstance(self._elimination, TreewidthError):
            raise TreewidthError(str(self._elimination))
        return self._elimination

    def _all_deficits(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        size = max(1, CHUNK // (self.length + len(self._interactions()[0])))
        return torch.cat([self._deficits(rows.T.contiguous()) for rows in torch.split(sentences, size)])

    @cached_property
    def _exact_law(self) -> dict[tuple[int, ...], Fraction]:
        check_size(self.n_candidates, EXACT_ENUMERATION_LIMIT, "candidate sentences with exact probabilities")
        return normalised_exponentials(
            {row: self._exponent_exact(row) for row in map(tuple, self.candidates().tolist())}
        )


def _log_normalised(log_weights: Tensor, dim: int) -> Tensor:
    if log_weights.shape[dim] != 2:
        return log_weights.log_softmax(dim)
    # Two tokens: one exponential serves both, and log p keeps its digits also where p is next to one.
    odds = log_weights.select(dim, 1) - log_weights.select(dim, 0)
    rest = odds.abs().neg_().exp_().log1p_()
    return torch.stack([-odds.clamp(min=0.0) - rest, odds.clamp(max=0.0) - rest], dim)
