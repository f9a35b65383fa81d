"""Uniform ±1 walks with a given end: how many, all of them, and exact draws without rejection.

A walk of T steps is a row of tokens, 0 for a step down (−1) and 1 for a step up (+1). A walk is *non-negative* when
no partial sum is below zero; non-negative walks from 0 to 0 are the properly nested bracket words.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def count_walks(T: int, end: int = 0, *, nonnegative: bool = False) -> int:
    """Return the exact number of walks of T steps from 0 to `end`.

    C(T, (T + end)/2) of them; of the non-negative ones with end ≥ 0, by the ballot theorem,
    (end + 1)/(T + 1) · C(T + 1, (T − end)/2), the Catalan number when end = 0.

    >>> count_walks(6), count_walks(6, nonnegative=True)
    (20, 5)
    """
    if (T + end) % 2 or abs(end) > T or (nonnegative and end < 0):
        return 0
    if not nonnegative:
        return math.comb(T, (T + end) // 2)
    return (end + 1) * math.comb(T + 1, (T - end) // 2) // (T + 1)


def enumerate_walks(T: int, end: int = 0, *, nonnegative: bool = False) -> Int64[Tensor, "walk step"]:
    """Return every walk of T steps from 0 to `end` in lexicographic order (0 before 1).

    Built step by step; a prefix that cannot reach `end` is dropped, so no row is built in vain.

    >>> enumerate_walks(4, nonnegative=True).tolist()
    [[1, 0, 1, 0], [1, 1, 0, 0]]
    """
    walks = torch.zeros(1, 0, dtype=torch.int64)
    height = torch.zeros(1, dtype=torch.int64)
    for step in range(T):
        down_up = torch.tensor([0, 1]).repeat(len(walks))
        walks = torch.cat([walks.repeat_interleave(2, 0), down_up[:, None]], 1)
        height = height.repeat_interleave(2) + 2 * down_up - 1
        alive = (end - height).abs() <= T - step - 1
        if nonnegative:
            alive &= height >= 0
        walks, height = walks[alive], height[alive]
    return walks if (T + end) % 2 == 0 else walks[:0]


def up_probability(
    height: Float[Tensor, "*batch"], remaining: int, end: Float[Tensor, "*#batch"], *, nonnegative: bool
) -> Float[Tensor, "*batch"]:
    """Return the probability that the next step of a uniform walk goes up, `remaining` steps before the end.

    With k steps to go from height h: (k + end − h)/(2k) of the completions start upwards; of the non-negative ones
    to 0, (h + 2)(k − h)/(2k(h + 1)), the ratio of two ballot numbers. Integers below 2⁵³ until the one division,
    so the impossible steps have probability exactly 0 and 1.
    """
    k = remaining
    if nonnegative:
        return (height + 2) * (k - height) / (2 * k * (height + 1))
    return (k + end - height) / (2 * k)


def sample_walks(
    T: int, end: Int64[Tensor, " walk"], generator: torch.Generator, *, nonnegative: bool = False
) -> Int64[Tensor, "walk step"]:
    """Draw one uniform walk of T steps for each entry of `end`, exactly (to the 2⁻⁵³ grain of a float64 uniform).

    The walk is drawn step by step with its true conditional probability; there is no rejection, so the cost is
    O(T) per walk at any T. The draws are made on the generator's device, where `end` must lie.

    Raises:
        ValueError: if some walk does not exist: wrong parity, an end out of reach, or non-negative with end ≠ 0.
    """
    if bool((((end + T) % 2 != 0) | (end.abs() > T)).any()) or (nonnegative and bool((end != 0).any())):
        raise ValueError(
            f"expected ends of the parity of T = {T} and at most T in size (and 0 for non-negative walks), "
            f"got {sorted(set(end.tolist()))}; change T or the ends"
        )
    uniform = torch.rand(T, len(end), generator=generator, device=generator.device, dtype=torch.float64)
    walks = torch.empty(T, len(end), dtype=torch.int64, device=generator.device)
    target = end.to(torch.float64)
    height = torch.zeros_like(target)
    for step in range(T):
        up = uniform[step] < up_probability(height, T - step, target, nonnegative=nonnegative)
        walks[step] = up
        height += torch.where(up, 1.0, -1.0)
    return walks.T.contiguous()
