"""What a model of the next token must offer, what it may offer besides, and its test on the way in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

NORMALISED = 1e-9
"""Nats by which the log-probabilities of a next token may miss a total of zero: a typing error, not rounding."""

CAUSAL = 1e-4
"""By how much a probability may move with later tokens: float32 kernels round differently, a leak moves more."""


@runtime_checkable
class NextToken(Protocol):
    """A law q(v | prefix) over model tokens 0 … n_tokens − 1, defined for every prefix including the empty one."""

    @property
    def n_tokens(self) -> int:
        """Size of the model's vocabulary."""

    @property
    def order(self) -> int | None:
        """The n for which the law depends on the last n − 1 tokens of a prefix alone; None if on all of them."""

    def next_log_prob(self, prefixes: Int64[Tensor, "prefix position"]) -> Float[Tensor, "prefix token"]:
        """Return log q(v | prefix), float64, −∞ allowed."""


@runtime_checkable
class AllPositions(NextToken, Protocol):
    """A model that gives the law at every position of a sentence in one pass, as causal networks do."""

    def log_probs(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, "sentence position token"]:
        """Return log q(v | tokens before the position); the last token of a sentence plays no role."""


@runtime_checkable
class PrefixReuse(AllPositions, Protocol):
    """A model that reads a prefix once for many continuations."""

    def continued_log_probs(
        self, prefixes: Int64[Tensor, "prefix before"], continuations: Int64[Tensor, "prefix branch position"]
    ) -> Float[Tensor, "prefix branch position token"]:
        """Return log q(v | prefix, the branch up to and including the position), for every branch of every prefix."""


@dataclass(frozen=True)
class CallableModel:
    """A function prefixes → log-probabilities as a model; see `from_callable`."""

    function: Callable[[Tensor], Tensor]
    n_tokens: int
    order: int | None = None

    def next_log_prob(self, prefixes: Int64[Tensor, "prefix position"]) -> Float[Tensor, "prefix token"]:
        return self.function(prefixes)


def from_callable(function: Callable[[Tensor], Tensor], n_tokens: int, order: int | None = None) -> CallableModel:
    """Return a model from a function of int64 prefixes (prefix, position) to float64 log-probabilities (prefix, token).

    Args:
        function: the law of the next token; deterministic, and defined for prefixes of length 0.
        n_tokens: size of the vocabulary.
        order: n, if only the last n − 1 tokens count; conditionals then cost the same at any sentence length.

    >>> from_callable(lambda x: torch.full((len(x), 2), 0.5, dtype=torch.float64).log(), 2, order=1).order
    1
    """
    return CallableModel(function, n_tokens, order)


def check_model(model: NextToken, prompt: Sequence[int], sentence: Sequence[int]) -> None:
    """Try a model on one sentence after a prompt (twice, and with another last token).

    Raises:
        TypeError: if the law is not float64.
        ValueError: if it has the wrong shape, does not sum to one, differs from call to call, or depends on tokens
            that come later; or if the order is below one.
    """
    if model.order is not None and model.order < 1:
        raise ValueError(f"expected an order n >= 1 or None, got {model.order}; order 1 draws tokens independently")
    whole = torch.tensor([*prompt, *sentence], dtype=torch.int64).repeat(2, 1)
    for length in (len(prompt), whole.shape[1] - 1):
        law = model.next_log_prob(whole[:, :length])
        if law.dtype != torch.float64:
            raise TypeError(f"expected float64 log-probabilities, got {law.dtype}; promote the logits, then normalise")
        if tuple(law.shape) != (2, model.n_tokens):
            raise ValueError(
                f"expected log-probabilities of shape (prefix, {model.n_tokens}), got {tuple(law.shape)} "
                f"for 2 prefixes of length {length}; return one row of the whole vocabulary for each prefix"
            )
        total = law.logsumexp(1)
        off = total[(total.abs() > NORMALISED) & total.isfinite()]
        if len(off):
            raise ValueError(
                f"expected next-token probabilities that sum to one, got {math.exp(float(off[0])):.12g} after "
                f"{whole[0, :length].tolist()}; return log_softmax of the logits, in float64"
            )
        if not torch.equal(law.nan_to_num(), model.next_log_prob(whole[:, :length]).nan_to_num()):
            raise ValueError(
                "expected the same law from the same prefix, got two different ones; "
                "switch off dropout and other randomness"
            )
    if isinstance(model, AllPositions):
        whole[1, -1] = (whole[1, -1] + 1) % model.n_tokens
        law = model.log_probs(whole).exp()
        moved = float((law[0] - law[1]).abs().nan_to_num().max())
        if moved > CAUSAL:
            raise ValueError(
                f"expected laws that do not depend on later tokens, got one that moves by {moved:.3g} when the last "
                "token changes; apply a causal mask"
            )
