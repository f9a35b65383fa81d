"""What a language on trial is compared with: its exact masked-token law, tolerances and sampling bands."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
from jaxtyping import Int64
from torch import Tensor

from synthetic.enumeration import EnumerationTooLargeError
from synthetic.language import Language
from synthetic.tokens import MASK, PAD

RELATIVE = 1e-12
"""Agreement with exact arithmetic: 4,500 units of float64 rounding, so |log P(x)| may reach some thousands of nats."""

SMALLEST_NORMAL = torch.finfo(torch.float64).tiny
"""Below it float64 has no relative precision left; probabilities are compared up to it absolutely."""

Key = tuple[int, ...]


class Failure(Exception):  # noqa: N818 # never seen outside: conformance turns it into ConformanceError
    """What a check found, before the property's name is put to it."""


class Skip(Exception):  # noqa: N818 # a signal, not an error
    """Why a check does not apply."""


def dkwm_half_width(n: int, level: float) -> float:
    """Return ε with Pr(sup |F_n − F| > ε) ≤ level: ε = √(log(2/level)/(2n)) (Dvoretzky–Kiefer–Wolfowitz–Massart)."""
    return math.sqrt(math.log(2 / level) / (2 * n))


def exact_masked_law(language: Language) -> dict[Key, tuple[Fraction, ...]]:
    """Return the joint law {context: (Pr(context, y) for every target y)} of the masked-token task, by enumeration.

    Fractions throughout, and no code shared with the languages' closed forms: the oracle. EnumerationTooLargeError
    above EXACT_ENUMERATION_LIMIT.
    """
    c = language.n_tokens
    clean: dict[Key, list[Fraction]] = {}
    for sentence, prob in language.enumerate_exact().items():
        positions = [t for t in language.masked_positions if sentence[t] != PAD]
        for t in positions:
            context = (*sentence[:t], MASK, *sentence[t + 1 :])
            clean.setdefault(context, [Fraction(0)] * c)[sentence[t]] += prob / len(positions)
    channel = language.target_channel()
    if channel is None:
        return {context: tuple(row) for context, row in clean.items()}
    return {
        context: tuple(sum((row[v] * channel[v][y] for v in range(c)), Fraction(0)) for y in range(c))
        for context, row in clean.items()
    }


@dataclass(frozen=True)
class Case:
    """A language on trial, with what several checks share; n draws per sampling check at suite level `level`."""

    language: Language
    n: int
    level: float
    seed: int

    def generator(self, stream: int) -> torch.Generator:
        """Return a fresh CPU generator for the numbered stream."""
        return torch.Generator().manual_seed(self.seed + stream)

    @cached_property
    def sentences(self) -> Int64[Tensor, "sentence position"]:
        """The n sentences of stream 0."""
        return self.language.sample(self.n, self.generator(0))

    @cached_property
    def exact(self) -> dict[Key, Fraction]:
        """The language's exact enumeration.

        Raises:
            Skip: if the language is too large for it.
        """
        try:
            return self.language.enumerate_exact()
        except EnumerationTooLargeError as error:
            raise Skip(str(error)) from error

    @cached_property
    def law(self) -> dict[Key, tuple[Fraction, ...]]:
        """The oracle `exact_masked_law`; Skip if the language is too large for it."""
        _ = self.exact
        return exact_masked_law(self.language)

    @property
    def band(self) -> float:
        """Half-width of each sampling band; the level is shared by all of them (union bound)."""
        return dkwm_half_width(self.n, self.level / (3 + len(self.language.downstream)))

    def check_frequencies(self, law: Mapping[Key, Fraction | float], rows: Tensor, what: str) -> None:
        """Fail unless the rows' empirical distribution, in the order of `law`, stays inside the DKWM band."""
        counts = Counter(map(tuple, rows.tolist()))
        foreign = counts.keys() - law.keys()
        require(not foreign, f"drew {what} {sorted(foreign)[:1]}, which has probability zero in the enumeration")
        gap = excess = 0.0
        for row, prob in law.items():
            excess += counts[row] / len(rows) - float(prob)
            gap = max(gap, abs(excess))
        require(
            gap <= self.band,
            f"empirical distribution of {len(rows)} draws of {what} is {gap:.3g} from the enumerated one, "
            f"outside the DKWM band {self.band:.3g} at suite level {self.level:g}",
        )


def require(condition: bool, detail: str) -> None:
    """Fail with `detail` unless the condition holds.

    Raises:
        Failure: what was found.
    """
    if not condition:
        raise Failure(detail)


def close(got: float, expected: float, scale: float | None = None) -> bool:
    """Whether got = expected up to RELATIVE · scale (default: the expected size) and the smallest normal number."""
    return abs(got - expected) <= RELATIVE * (abs(expected) if scale is None else scale) + SMALLEST_NORMAL
