r"""Inside and outside probabilities of all spans of a batch of sentences.

Inside β(A, i, w) = Pr(A derives the w tokens from i on), outside α(A, i, w) = Pr(S derives the sentence with A in place
of those tokens), each divided by the scales of the tokens it involves (`Plan.scale`):

    β(A, i, w) = Σ_{A→BC} P(A → B C) Σ_k β(B, i, k) β(C, i + k, w − k),
    α(B, i, k) = [B = S spans the sentence] + Σ_{A→BC} P(A → B C) Σ_m α(A, i, k + m) β(C, i + k, m)
                 + Σ_{A→CB} P(A → C B) Σ_m α(A, i − m, k + m) β(C, i − m, m).

Charts are lists over widths of tensors (row, position, sentence): sentences are contiguous, so that every operation
runs along a batch. Sums of non-negative numbers: exact to relative float64 rounding while in range.
Source: Baker (1979), Lari and Young (1990), textbook; the arrangement is ours.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from synthetic.pcfg.plan import Plan

Chart = list[Float64[Tensor, "row _ sentence"]]
"""Chart[w] holds the spans of w tokens, w ≥ 1; Chart[0] is empty."""


def inside(plan: Plan, tokens: Int64[Tensor, "sentence position"]) -> Chart:
    """Return β of every span; a MASK is a token of which nothing is known."""
    ring, (n, length) = plan.ring, tokens.shape
    # PAD = −2 and MASK = −1 are the last two columns.
    leaves = plan.leaves[:, tokens.T.remainder(plan.leaves.shape[1])]
    chart = [leaves[:, :0], leaves]
    for w in range(2, length + 1):
        cells = torch.full_like(leaves[:, : length - w + 1], ring.zero)
        for block in plan.blocks:
            if not block.splits[w]:
                continue
            places, rule = block.places(w, length), block.inside
            total = rule.empty(places, n, ring)
            for k in block.splits[w]:
                rule.multiply_add(total, chart[k][:, :places], chart[w - k][:, k : k + places], ring)
            cells[rule.out, :places] = ring.apply(rule.matrix, total)
        chart.append(cells)
    return chart


def outside(plan: Plan, chart: Chart, lengths: Int64[Tensor, " sentence"]) -> Chart:
    """Return α of every span, given β of every span."""
    ring, length, n = plan.ring, len(chart) - 1, len(lengths)
    found = [torch.full_like(cells, ring.zero) for cells in chart]
    for k in range(length, 0, -1):
        found[k][0, 0, lengths == k] = ring.one
        for block in plan.blocks:
            as_left = [w for w in range(k + 1, length + 1) if k in block.splits[w]]
            as_right = [w for w in range(k + 1, length + 1) if w - k in block.splits[w]]
            if as_left:
                rule, most = block.left, block.places(k, length)
                total = rule.empty(most, n, ring)
                for w in as_left:
                    places = block.places(w, length)
                    siblings = chart[w - k][:, k : k + places]
                    rule.multiply_add(total[:, :places], found[w][:, :places], siblings, ring)
                _accumulate(plan, found[k][:, :most], rule.out, ring.apply(rule.matrix, total))
            if as_right:
                rule = block.right
                total = rule.empty(length - k + 1, n, ring)
                for w in as_right:
                    places, m = block.places(w, length), w - k
                    rule.multiply_add(total[:, m : m + places], found[w][:, :places], chart[m][:, :places], ring)
                _accumulate(plan, found[k], rule.out, ring.apply(rule.matrix, total))
    return found


def root(plan: Plan, chart: Chart, lengths: Int64[Tensor, " sentence"]) -> Float64[Tensor, " sentence"]:
    """Return log of the scaled probability that S derives each sentence."""
    tops = torch.stack([cells[0, 0] for cells in chart[1:]])
    return plan.ring.log(tops.gather(0, lengths[None] - 1)[0])


def log_scale(plan: Plan, tokens: Int64[Tensor, "sentence position"]) -> Float64[Tensor, " sentence"]:
    """Return the logarithm of the product of the tokens' scales, that of a PAD or MASK being one."""
    padded = torch.nn.functional.pad(plan.scale.log(), (0, 2))
    return padded[tokens.remainder(len(padded))].sum(1)


def out_of_range(plan: Plan, chart: Chart) -> Bool[Tensor, " sentence"]:
    """Return which sentences have a number in the chart that float64 may not multiply without loss."""
    least, most = plan.range
    found = torch.zeros(chart[1].shape[2], dtype=torch.bool, device=chart[1].device)
    if len(chart) - 1 <= plan.safe_length:
        return found
    for cells in chart[1:]:
        found |= (((cells < least) & (cells > 0)) | ~(cells < most)).flatten(0, 1).any(0)
    return found


def _accumulate(plan: Plan, cells: Tensor, rows: Tensor, more: Tensor) -> None:
    cells[rows] = plan.ring.add(cells[rows], more)
