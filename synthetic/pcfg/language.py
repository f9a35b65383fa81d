"""Languages of probabilistic context-free grammars, with exact masked-token conditionals of all positions at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.language import Language
from synthetic.pcfg.analysis import grammar_graph
from synthetic.pcfg.exact import inside_exact
from synthetic.pcfg.grammar import Grammar
from synthetic.pcfg.lengths import LengthLaw, start_lengths_exact
from synthetic.pcfg.parser import Parser
from synthetic.pcfg.rules import NormalForm, derivable_widths, normal_form, useful_widths
from synthetic.pcfg.sampling import Sampler
from synthetic.pcfg.tasks import RootTask, SpanTask
from synthetic.tasks import DownstreamTask, check_sample_size
from synthetic.tokens import PAD, mask


@dataclass(frozen=True, eq=False)
class PCFG(Language):
    """The sentences of a grammar, given that they have at most T tokens, or exactly T.

    P(x) = Pr(S ⇒ x) / Z, the sum over all derivations of x, with Z the probability that a derivation ends with an
    admitted length: exact, by recursion over widths. Conditionals do not depend on Z:

        p*(v | x_{−t}) = Σ_A α(A, t) P(A → v) / Σ_u Σ_A α(A, t) P(A → u),

    α the outside probability of the leaf t. Source: ours; inside and outside probabilities are Baker's (1979). The
    paper's grammar has 50 nonterminals and 200 tokens (second-hand).

    Attributes:
        grammar: the grammar.
        T: greatest length of a sentence.
        fixed_length: whether all sentences have T tokens; shorter ones are padded otherwise.

    >>> rules = [("S", ("A", "S"), 0.5), ("S", ("b",), 0.5), ("A", ("a",), 0.75), ("A", ("b",), 0.25)]
    >>> language = PCFG(Grammar.from_rules(rules), 3)
    >>> language.masked_conditional(torch.tensor([[1, -1, -2], [-1, 0, 0]]))  # MASK is -1, PAD is -2
    tensor([[1.0000, 0.0000],
            [0.2500, 0.7500]], dtype=torch.float64)
    >>> language.vocabulary
    ('b', 'a')
    """

    family: ClassVar[str] = "pcfg"
    grammar: Grammar
    T: int
    fixed_length: bool = False

    def __post_init__(self) -> None:
        """Check the length.

        Raises:
            ValueError: if T < 1.
            GrammarError: if no sentence has an admitted length, or with a probability below float64's range.
        """
        if not self.T >= 1 or self.T % 1 != 0:
            raise ValueError(f"expected an integer T >= 1, got {self.T}; sentences have at least one token")
        object.__setattr__(self, "T", int(self.T))
        object.__setattr__(self, "padded", not self.fixed_length and self.T > 1)
        _ = self.lengths

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.grammar.terminals

    @property
    def length(self) -> int:
        return self.T

    @cached_property
    def rules(self) -> NormalForm:
        """The rules with those of the form S → A folded into the others of S."""
        return normal_form(self.grammar)

    @cached_property
    def lengths(self) -> LengthLaw:
        """The law of the length, and expected numbers of spans."""
        return LengthLaw(self.rules, (self.T,) if self.fixed_length else tuple(range(1, self.T + 1)))

    @cached_property
    def parser(self) -> Parser:
        """The charts over what derivations from S of admitted sentences use."""
        return Parser(self.rules, useful_widths(self.rules, self._derivable, list(self.lengths.lengths)), self._scale)

    @cached_property
    def bottom_up_parser(self) -> Parser:
        """The charts over all symbols and spans, also those that no derivation from S uses."""
        return Parser(self.rules, self._derivable, self._scale)

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """The tasks `root` (if the start symbol has unary rules), `first-4` and `first-2`, by inside probability."""
        tasks: list[DownstreamTask] = [self.span_task(0, stop) for stop in (4, 2) if stop <= self.T]
        if len(self.grammar.unary):
            tasks.insert(0, self.root_task())
        return {task.name: task for task in tasks}

    def root_task(self, *, posterior: bool = False) -> RootTask:
        """Return the task to tell the symbol A of the first rule S → A, by inside or posterior probability."""
        return RootTask(self, self.bottom_up_parser, self.grammar.unary, self.grammar.unary_prob, posterior)

    def span_task(self, start: int, stop: int, *, posterior: bool = False) -> SpanTask:
        """Return the task to tell the nonterminal, other than S, over tokens start … stop − 1."""
        return SpanTask(
            self, self.bottom_up_parser, self.grammar.unary, self.grammar.unary_prob, posterior, start, stop
        )

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return log of the inside probability of S over the sentence, less log Z."""
        self.check_sentences(sentences)
        return self.parser.log_inside(sentences) - math.log(self.lengths.total)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return P(x) by recursion in Fractions over the float64 probabilities of the rules."""
        tokens = tuple(v for v in sentence if v != PAD)
        return inside_exact(self.grammar, tokens) / self._total_exact

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(v | x_{−t}); ImpossibleContextError for a context that no sentence completes."""
        self.check_contexts(contexts)
        found = self.parser.log_conditional(contexts)
        lost = found[:, 0].isnan()
        if lost.any():
            raise self.impossible(contexts[int(lost.nonzero()[0])])
        return found

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return log p*(v | x_{−t}) for every position by one inside and one outside pass; padding is −∞.

        ImpossibleContextError for a context that no sentence completes, even if the sentence itself is impossible.
        """
        self.check_sentences(sentences)
        found = self.parser.log_conditionals(sentences)
        lost = found[:, :, 0].isnan()
        if lost.any():
            row, position = lost.nonzero()[0]
            raise self.impossible(mask(sentences[row][None], position[None])[0])
        return found

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences exactly: a length from its law, then a derivation of that length; n < 0 is a ValueError.

        Nothing is rejected. Exact up to the grain 2^−(62 − ⌈log₂ rows⌉) of integer thresholds (`Sampler`).
        """
        check_sample_size(n)
        lengths = self._sampler.draw_lengths(n, self.lengths.prob, generator) + self.lengths.lengths[0]
        return self._sampler.draw(lengths, self.T, generator).to(device or generator.device)

    def length_law(self) -> dict[int, float]:
        """Return Pr(length = ℓ) for every ℓ of positive probability; exact to float64 rounding."""
        law = zip(self.lengths.lengths, self.lengths.prob.tolist(), strict=True)
        return {length: prob for length, prob in law if prob > 0}

    def sample_length(
        self, n: int, length: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences given that they have `length` tokens, exactly; rows are padded to T.

        Raises:
            ValueError: if n is negative, or no sentence of the language has that length.
        """
        check_sample_size(n)
        possible = list(self.length_law())
        if length not in possible:
            raise ValueError(f"expected a length among {possible}, got {length}; other lengths have no sentence")
        wanted = torch.full((n,), length, dtype=torch.int64, device=generator.device)
        return self._sampler.draw(wanted, self.T, generator).to(device or generator.device)

    def graph(self) -> nx.DiGraph:
        """Return the nonterminals, joined from parent to child, weighted by expected use in a sentence."""
        return grammar_graph(self.grammar, self.lengths)

    def state(self) -> dict[str, Any]:
        """Return the grammar's fields, T and whether the length is fixed."""
        return {"grammar": self.grammar.state(), "T": self.T, "fixed_length": self.fixed_length}

    def __repr__(self) -> str:
        return f"PCFG({self.grammar!r}, T={self.T}{', fixed_length=True' if self.fixed_length else ''})"

    @cached_property
    def _derivable(self) -> Tensor:
        return derivable_widths(self.rules, self.T)

    @cached_property
    def _scale(self) -> Tensor:
        # A token that no sentence holds has share 0; any positive scale will do for it.
        share = self.lengths.unigram
        return torch.where(share > torch.finfo(torch.float64).tiny, share, 1.0)

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(self.rules, self.lengths.inside)

    @cached_property
    def _total_exact(self) -> Fraction:
        lengths = start_lengths_exact(self.grammar, self.T)
        return sum((lengths[w] for w in self.lengths.lengths), Fraction(0))
