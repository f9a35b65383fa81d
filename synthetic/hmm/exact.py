"""Probabilities of the sentences of a hidden Markov model in Fractions: an oracle without a line of the passes."""

from __future__ import annotations

from fractions import Fraction

from jaxtyping import Float
from torch import Tensor

from synthetic.tokens import PAD

Rows = list[list[Fraction]]


class ExactLaw:
    """The probabilities of the sentences of a model with the float64 parameters taken as exact numbers."""

    def __init__(
        self,
        transition: Float[Tensor, "state state"],
        emission: Float[Tensor, "state token"],
        start: Float[Tensor, " state"],
        lengths: int | Float[Tensor, " length"],
    ) -> None:
        law = lengths.tolist() if isinstance(lengths, Tensor) else [0.0] * (int(lengths) - 1) + [1.0]
        self.transition, self.emission = _fractions(transition), _fractions(emission)
        self.start, self.lengths = _fractions(start[None])[0], [Fraction(p) for p in law]

    def prob(self, sentence: tuple[int, ...]) -> Fraction:
        """Return P(x), by the forward recursion."""
        words = [v for v in sentence if v != PAD]
        states = range(len(self.start))
        reach = [self.start[s] * self.emission[s][words[0]] for s in states]
        for v in words[1:]:
            moved = [sum((reach[s] * self.transition[s][to] for s in states), Fraction(0)) for to in states]
            reach = [moved[to] * self.emission[to][v] for to in states]
        return sum(reach, Fraction(0)) * self.lengths[len(words) - 1]


def _fractions(rows: Float[Tensor, "row column"]) -> Rows:
    return [[Fraction(p) for p in row] for row in rows.tolist()]
