"""A language's contexts written out: their law and exact conditionals, and draws from them by inverse CDF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic import EnumerationTooLargeError, Language
from synthetic.enumeration import ContextEnumeration

TABLE_ENTRIES = 2**24
"""Contexts × tokens above which a language is not written out by `table_if_small`."""


@dataclass(frozen=True, eq=False)
class ContextTable:
    """Every context x of positive probability with its law π and its conditional p*; float64, on the CPU.

    Attributes:
        contexts: x.
        prob: π(x) > 0.
        conditional: p*(y | x).
    """

    contexts: Int64[Tensor, "context position"]
    prob: Float[Tensor, " context"]
    conditional: Float[Tensor, "context token"]

    @cached_property
    def entropy_floor(self) -> float:
        """L* = Σ_x π H(p*), in nats. Exact."""
        return float(self.prob @ torch.special.entr(self.conditional).sum(-1))

    @cached_property
    def unigram_entropy(self) -> float:
        """Entropy of the target without its context, H(Σ_x π p*), in nats. Exact."""
        return float(torch.special.entr(self.prob @ self.conditional).sum())

    @cached_property
    def cumulative(self) -> Float[Tensor, " context"]:
        """Running sums of π, the last of them exactly one."""
        return _cumulative(self.prob)

    @cached_property
    def _cumulative_conditional(self) -> Float[Tensor, "context token"]:
        return _cumulative(self.conditional)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw n independent indices x ~ π and targets y ~ p*(· | x), each (example,), by inverse CDF.

        The law is exact up to a few 2⁻⁵³ per outcome, and an outcome of probability zero never occurs.
        """
        uniform = torch.rand(2, n, generator=generator, dtype=torch.float64)
        index = torch.searchsorted(self.cumulative, uniform[0], right=True)
        target = (self._cumulative_conditional[index] <= uniform[1].unsqueeze(-1)).sum(-1)
        return index, target


def _cumulative(prob: Tensor) -> Tensor:
    """Return the running sums, the last of them exactly one."""
    total = prob.cumsum(-1)
    return total / total[..., -1:]


def context_table(language: Language) -> ContextTable:
    """Write out a language's contexts; EnumerationTooLargeError when it has too many."""
    return _written_out(language, language.enumerate_contexts())


def table_if_small(language: Language, entries: int = TABLE_ENTRIES) -> ContextTable | None:
    """Return the table of a language that may be enumerated and has at most `entries` contexts × tokens, else None."""
    try:
        whole = language.enumerate_contexts()
    except EnumerationTooLargeError:
        return None
    return _written_out(language, whole) if len(whole.contexts) * language.n_tokens <= entries else None


def _written_out(language: Language, whole: ContextEnumeration) -> ContextTable:
    return ContextTable(whole.contexts, whole.prob, language.masked_conditional(whole.contexts))


def tables_of(
    languages: Sequence[Language], given: ContextTable | Sequence[ContextTable] | None = None
) -> list[ContextTable] | None:
    """Return the given tables, one per language; without any, those of `table_if_small`, or None if one is not small.

    Raises:
        ValueError: there are not as many tables as languages.
    """
    if given is None:
        found = [table_if_small(language) for language in languages]
        tables = [table for table in found if table is not None]
        return tables if len(tables) == len(languages) else None
    tables = [given] if isinstance(given, ContextTable) else list(given)
    if len(tables) != len(languages):
        raise ValueError(
            f"expected one table for each of {len(languages)} languages, got {len(tables)}; or give none, and they are "
            "written out where that is cheap"
        )
    return tables
