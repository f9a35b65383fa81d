"""Uniform ±1 walks with a given end: how many, all of them, and exact draws without rejection.

A walk of T steps is a row of tokens, 0 for a step down (−1) and 1 for a step up (+1). A walk is *non-negative* when
no partial sum is below zero; non-negative walks from 0 to 0 are the properly nested bracket words. A *ceiling* is the
highest partial sum that a non-negative walk may reach, the depth limit of the words.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def count_walks(T: int, end: int = 0, *, nonnegative: bool = False, ceiling: int | None = None) -> int:
    """Return the exact number of walks of T steps from 0 to `end`.

    C(T, (T + end)/2) of them; of the non-negative ones with end ≥ 0, by the ballot theorem,
    (end + 1)/(T + 1) · C(T + 1, (T − end)/2), the Catalan number when end = 0; below a ceiling C, by reflection at
    −1 and C + 1, Σ_j C(T, i + j(C + 2)) − C(T, i + 1 + j(C + 2)) with i = (T + end)/2 and j over the integers.
    ValueError, here and below, for a ceiling that is less than 1 or not on non-negative walks.

    >>> count_walks(6), count_walks(6, nonnegative=True), count_walks(6, nonnegative=True, ceiling=2)
    (20, 5, 4)
    """
    _check_ceiling(nonnegative, ceiling)
    if (T + end) % 2 or abs(end) > T or (nonnegative and end < 0) or (ceiling is not None and end > ceiling):
        return 0
    up = (T + end) // 2
    if not nonnegative:
        return math.comb(T, up)
    if ceiling is None:
        return (end + 1) * math.comb(T + 1, T - up) // (T + 1)
    period = ceiling + 2
    return sum(math.comb(T, i) for i in range(up % period, T + 1, period)) - sum(
        math.comb(T, i) for i in range((up + 1) % period, T + 1, period)
    )


def enumerate_walks(
    T: int, end: int = 0, *, nonnegative: bool = False, ceiling: int | None = None
) -> Int64[Tensor, "walk step"]:
    """Return every walk of T steps from 0 to `end` in lexicographic order (0 before 1).

    Built step by step; a prefix that cannot reach `end` is dropped, so no row is built in vain.

    >>> enumerate_walks(4, nonnegative=True).tolist()
    [[1, 0, 1, 0], [1, 1, 0, 0]]
    """
    _check_ceiling(nonnegative, ceiling)
    walks = torch.zeros(1, 0, dtype=torch.int64)
    height = torch.zeros(1, dtype=torch.int64)
    for step in range(T):
        down_up = torch.tensor([0, 1]).repeat(len(walks))
        walks = torch.cat([walks.repeat_interleave(2, 0), down_up[:, None]], 1)
        height = height.repeat_interleave(2) + 2 * down_up - 1
        alive = (end - height).abs() <= T - step - 1
        if nonnegative:
            alive &= height >= 0
        if ceiling is not None:
            alive &= height <= ceiling
        walks, height = walks[alive], height[alive]
    return walks if (T + end) % 2 == 0 else walks[:0]


def count_completions(T: int, ceiling: int) -> list[list[int]]:
    """Return N(k, h), the exact number of non-negative walks of k steps from h to 0 that stay below the ceiling.

    Row k ≤ T, column h ≤ ceiling, by N(k, h) = N(k−1, h−1) + N(k−1, h+1).

    >>> count_completions(4, 1)
    [[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]]
    """
    rows = [[1] + [0] * ceiling]
    for _ in range(T):
        last = [0, *rows[-1], 0]
        rows.append([last[h] + last[h + 2] for h in range(ceiling + 1)])
    return rows


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


@lru_cache(maxsize=16)
def capped_up_probability(T: int, ceiling: int) -> Float[Tensor, "step height"]:
    """Return the probability that step t of a uniform non-negative walk below the ceiling goes up from height h.

    N(k−1, h+1)/N(k, h) with k = T − t steps to go, the quotient of exact integers rounded once; 0 where N(k, h) = 0.
    Time and memory O(T · ceiling); kept for the next call.
    """
    count = count_completions(T, ceiling)
    rows = [
        [above / here if here else 0.0 for here, above in zip(count[k], [*count[k - 1][1:], 0], strict=True)]
        for k in range(T, 0, -1)
    ]
    return torch.tensor(rows, dtype=torch.float64).reshape(T, ceiling + 1)


def sample_walks(
    T: int,
    end: Int64[Tensor, " walk"],
    generator: torch.Generator,
    *,
    nonnegative: bool = False,
    ceiling: int | None = None,
) -> Int64[Tensor, "walk step"]:
    """Draw one uniform walk of T steps for each entry of `end`, exactly (to the 2⁻⁵³ grain of a float64 uniform).

    The walk is drawn step by step with its true conditional probability; there is no rejection, so the cost is
    O(T) per walk at any T. The draws are made on the generator's device, where `end` must lie.

    Raises:
        ValueError: if some walk does not exist: wrong parity, an end out of reach, or non-negative with end ≠ 0.
    """
    _check_ceiling(nonnegative, ceiling)
    if bool((((end + T) % 2 != 0) | (end.abs() > T)).any()) or (nonnegative and bool((end != 0).any())):
        raise ValueError(
            f"expected ends of the parity of T = {T} and at most T in size (and 0 for non-negative walks), "
            f"got {sorted(set(end.tolist()))}; change T or the ends"
        )
    uniform = torch.rand(T, len(end), generator=generator, device=generator.device, dtype=torch.float64)
    walks = torch.empty(T, len(end), dtype=torch.int64, device=generator.device)
    if ceiling is not None and 2 * ceiling < T:
        capped = capped_up_probability(T, ceiling).to(generator.device)
        place = torch.zeros_like(end)
        for step in range(T):
            walks[step] = uniform[step] < capped[step, place]
            place += 2 * walks[step] - 1
        return walks.T.contiguous()
    target = end.to(torch.float64)
    height = torch.zeros_like(target)
    for step in range(T):
        up = uniform[step] < up_probability(height, T - step, target, nonnegative=nonnegative)
        walks[step] = up
        height += torch.where(up, 1.0, -1.0)
    return walks.T.contiguous()


def _check_ceiling(nonnegative: bool, ceiling: int | None) -> None:
    if ceiling is not None and (ceiling < 1 or not nonnegative):
        raise ValueError(
            f"expected a ceiling >= 1 on non-negative walks, got ceiling {ceiling} with nonnegative={nonnegative}; "
            "pass nonnegative=True, or no ceiling"
        )
