"""How sentences and masked sentences are written as tensors, and the errors for those that are neither.

A token is its index in the vocabulary, 0 … c−1. A *context* x_{−t} is the sentence with `MASK` at position t; a
sentence shorter than the language's length carries `PAD` to the right of its last token.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

MASK = -1
PAD = -2


def check_tokens(tokens: Tensor, *, n_tokens: int, length: int, padded: bool, masks: bool) -> None:
    """Raise unless `tokens` is an int64 matrix of rows that the language could hold.

    Args:
        tokens: sentences or contexts, one per row.
        n_tokens: size c of the vocabulary.
        length: number of positions.
        padded: whether rows may end in PAD.
        masks: whether MASK may occur.

    Raises:
        TypeError: if the dtype is not int64.
        ValueError: on a wrong shape, a token outside the vocabulary, or PAD where it may not stand.
    """
    if tokens.dtype != torch.int64:
        raise TypeError(f"expected int64 token indices, got {tokens.dtype}; convert with tokens.to(torch.int64)")
    if tokens.ndim != 2 or tokens.shape[1] != length:
        raise ValueError(
            f"expected shape (sentence, {length}), got {tuple(tokens.shape)}; "
            "give one row per sentence, also for a single one"
        )
    foreign = (tokens >= n_tokens) | (tokens < PAD)
    foreign |= (tokens == PAD) & (not padded)
    foreign |= (tokens == MASK) & (not masks)
    if foreign.any():
        row, column = foreign.nonzero()[0].tolist()
        extra = ([f"MASK = {MASK}"] if masks else []) + ([f"PAD = {PAD}"] if padded else [])
        raise ValueError(
            f"expected tokens 0..{n_tokens - 1}{''.join(f' or {name}' for name in extra)}, "
            f"got {int(tokens[row, column])} at row {row}, position {column}; tokens are indices into the vocabulary"
        )
    if padded:
        pad = tokens == PAD
        loose = (pad[:, :-1] & ~pad[:, 1:]).any(1) | pad[:, 0]
        if loose.any():
            row = int(loose.nonzero()[0])
            raise ValueError(
                f"expected PAD only after the last token of a non-empty sentence, got {tokens[row].tolist()} "
                f"at row {row}; write the sentence first and pad on the right"
            )


def masked_position(contexts: Int64[Tensor, "context position"]) -> Int64[Tensor, " context"]:
    """Return the position t at which each context is masked.

    Raises:
        ValueError: if a context has no mask, or more than one.
    """
    count = (contexts == MASK).sum(1)
    if (count != 1).any():
        row = int((count != 1).nonzero()[0])
        raise ValueError(
            f"expected exactly one position equal to MASK = {MASK} in a context, got {int(count[row])} at row {row}: "
            f"{contexts[row].tolist()}; make contexts with synthetic.tokens.mask(sentences, positions)"
        )
    return (contexts == MASK).to(torch.int64).argmax(1)


def mask(
    sentences: Int64[Tensor, "sentence position"], positions: Int64[Tensor, " sentence"]
) -> Int64[Tensor, "sentence position"]:
    """Return the contexts x_{−t}: each sentence with its token at `positions` replaced by MASK.

    >>> mask(torch.tensor([[0, 1, 1]]), torch.tensor([2])).tolist()
    [[0, 1, -1]]
    """
    return sentences.scatter(1, positions[:, None], MASK)


def fill(
    contexts: Int64[Tensor, "context position"], positions: Int64[Tensor, " context"], n_tokens: int
) -> Int64[Tensor, "context token position"]:
    """Return every completion of each context: token v put at the masked position, for v = 0 … c−1.

    >>> fill(torch.tensor([[0, -1]]), torch.tensor([1]), 2).tolist()
    [[[0, 0], [0, 1]]]
    """
    n = len(contexts)
    filled = contexts[:, None, :].repeat(1, n_tokens, 1)
    values = torch.arange(n_tokens, device=contexts.device)[None, :, None].expand(n, n_tokens, 1)
    return filled.scatter(2, positions[:, None, None].expand(n, n_tokens, 1), values)


def signs(tokens: Int64[Tensor, "*batch position"]) -> Float[Tensor, "*batch position"]:
    """Return binary tokens as spins in float64: token 0 is −1, token 1 is +1, a masked position is 0.

    >>> signs(torch.tensor([0, 1, -1])).tolist()
    [-1.0, 1.0, 0.0]
    """
    return torch.where(tokens == MASK, 0, 2 * tokens - 1).to(torch.float64)


def torch_generator(generator: np.random.Generator) -> torch.Generator:
    """Return a torch generator on the CPU, seeded by the next draw of a numpy generator."""
    return torch.Generator().manual_seed(int(generator.integers(2**63)))
