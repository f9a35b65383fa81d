"""Counter-based random draws: replica r's k-th sample is a function of (seed, r, k) and of nothing else."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from verify.models import FiniteModel

SAMPLES, NORMALS = 0, 1
"""What a stream is used for; streams of different purposes do not meet."""

_LOW = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def seed_words(seed: int) -> tuple[int, int]:
    """Return the low and the high word of a 64-bit seed.

    Raises:
        ValueError: the seed is negative or longer than 64 bits.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"expected a seed from 0 to 2**64 - 1, got {seed}; reduce it modulo 2**64")
    return seed & _LOW, seed >> 32


def philox(
    counter: Int[Tensor, "call 1"], replica: Int[Tensor, " replica"], purpose: int, seed: int
) -> tuple[Int[Tensor, "call replica"], ...]:
    """Return four words of 32 random bits per counter and replica, by Philox4x32-10.

    Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011). The counter block is
    (counter low, counter high, replica, purpose), the key is the seed: the map is a bijection of the block, so no
    two streams of one seed overlap. Words are int64 tensors in [0, 2³²), the same on every device.
    """
    low, high = seed_words(seed)
    shape = len(counter), len(replica)
    x0, x1 = (counter & _LOW).expand(shape), _high_word(counter).expand(shape)
    x2, x3 = replica.expand(shape), replica.new_full((1, 1), purpose).expand(shape)
    for _ in range(10):
        # 64-bit products wrap round; shift and mask recover both halves of the unsigned product
        even, odd = x0 * _MULTIPLIERS[0], x2 * _MULTIPLIERS[1]
        x0, x1, x2, x3 = (
            _high_word(odd).bitwise_xor_(x1).bitwise_xor_(low),
            odd.bitwise_and_(_LOW),
            _high_word(even).bitwise_xor_(x3).bitwise_xor_(high),
            even.bitwise_and_(_LOW),
        )
        low, high = (low + _WEYL[0]) & _LOW, (high + _WEYL[1]) & _LOW
    return x0, x1, x2, x3


def _high_word(product: Tensor) -> Tensor:
    """Return the upper 32 bits of an unsigned number; the named function is vectorised, `>>` is not."""
    return torch.bitwise_right_shift(product, 32).bitwise_and_(_LOW)


class DrawTables:
    """How words become contexts and labels; a probability is realised to within 2⁻³².

    Sample s of a replica uses words 2(s mod 2) and 2(s mod 2) + 1 of generator call ⌊s/2⌋. The first selects the
    context: ⌊word · n / 2³²⌋ when the n contexts are equally likely, otherwise by inversion of the cumulative
    probabilities. The second selects the label by inversion of p*(· | context).

    Attributes:
        cumulative: 2³² × cumulative context probabilities, empty when all are equal.
        thresholds: 2³² × cumulative label probabilities, one row per context, the last column dropped.
    """

    def __init__(self, model: FiniteModel, label_conditional: Float[Tensor, "context token"]) -> None:
        prob = model.context_prob.double()
        self.contexts = len(prob)
        equal = bool(((prob * self.contexts - 1).abs() < 1e-12).all())
        self.cumulative = (prob.cumsum(0) * 2.0**32).round().long()[: 0 if equal else None]
        # from the far end for two tokens, so that p*(+1) and not 1 − p*(+1) is what is rounded
        upper = label_conditional.double().flip(-1).cumsum(-1).flip(-1)[:, 1:]
        self.thresholds = (2**32 - (upper * 2.0**32).round().long()).contiguous()

    def choose_contexts(self, words: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """Return the context that each word selects."""
        if len(self.cumulative) == 0:
            return torch.bitwise_right_shift(words * self.contexts, 32)
        return torch.searchsorted(self.cumulative, words.contiguous(), right=True).clamp_max(self.contexts - 1)

    def choose_labels(self, context: Int[Tensor, "*shape"], words: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """Return the label that each word selects, given the context."""
        if self.thresholds.shape[1] == 1:
            return (words >= self.thresholds[:, 0].take(context)).long()
        return (words.unsqueeze(-1) >= self.thresholds[context]).sum(-1)


def normals(
    step: int, count: int, replica: Int[Tensor, " replica"], seed: int, dtype: torch.dtype
) -> Float[Tensor, "replica count"]:
    """Return `count` standard normals per replica for one step, by the Box-Muller transform of Philox words.

    With 32-bit uniforms no draw exceeds √(2 ln 2³³) = 6.8 standard deviations.
    """
    calls = -(-count // 4)
    counter = torch.arange(step * calls, (step + 1) * calls, device=replica.device).unsqueeze(-1)
    words = torch.stack(philox(counter, replica, NORMALS, seed))
    uniform = (words.to(torch.float64) + 0.5) / 2.0**32
    radius, angle = (-2 * uniform[0::2].log()).sqrt(), 2 * math.pi * uniform[1::2]
    pairs = torch.cat([radius * angle.cos(), radius * angle.sin()])
    return pairs.permute(2, 1, 0).flatten(1)[:, :count].to(dtype)
