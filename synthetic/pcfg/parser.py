"""Charts for batches of any size: chunks of bounded memory, and logarithms for the sentences that need them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from synthetic.pcfg.chart import inside, log_scale, out_of_range, outside, root
from synthetic.pcfg.plan import Plan, make_plan
from synthetic.pcfg.rules import NormalForm
from synthetic.semiring import Log, Semiring, linear_then_log
from synthetic.tokens import MASK, PAD

CHUNK = {"cpu": 2**23}
"""Numbers that the charts of one chunk may hold, by type of device: 64 MiB; more is no faster on a CPU."""

CHUNK_ELSEWHERE = 2**27
"""The same for other devices: a gigabyte."""

Part = Callable[[Plan, Int64[Tensor, "sentence position"], Int64[Tensor, " sentence"]], tuple[Tensor, Tensor]]
"""What is computed of a chunk: values by sentence, and which sentences need logarithms."""


@dataclass(frozen=True, eq=False)
class Parser:
    """Inside and outside probabilities under a grammar's rules, each symbol spanning only the widths given.

    Everything is computed in plain float64 first; sentences with a number out of its range are done again in
    logarithms, accurate to ε · |logarithm|.

    Attributes:
        rules: the rules without unary ones.
        widths: whether each symbol may span w tokens.
        scale: a positive number for each token, about its probability, to keep products near one.
    """

    rules: NormalForm
    widths: Bool[Tensor, "symbol width"]
    scale: Float64[Tensor, " token"]
    _plans: dict[tuple[type[Semiring], torch.device], Plan] = field(default_factory=dict, repr=False)

    def plan(self, ring: type[Semiring], device: torch.device) -> Plan:
        """Return the rules arranged on a device; kept for the next call."""
        if (ring, device) not in self._plans:
            self._plans[ring, device] = make_plan(self.rules, self.widths, self.scale, ring(), device)
        return self._plans[ring, device]

    def log_inside(self, tokens: Int64[Tensor, "sentence position"]) -> Float64[Tensor, " sentence"]:
        """Return log Pr(S derives the sentence) in nats, a MASK standing for any token; −∞ if it does not."""

        def part(plan: Plan, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            chart = inside(plan, rows)
            return root(plan, chart, lengths) + log_scale(plan, rows), out_of_range(plan, chart)

        found = torch.empty(len(tokens), dtype=torch.float64, device=tokens.device)
        self.fill(found, tokens, part)
        return found

    def log_conditionals(
        self, tokens: Int64[Tensor, "sentence position"]
    ) -> Float64[Tensor, "sentence position token"]:
        """Return log p*(v | x_{−t}) for all positions: −∞ at PAD, NaN where no token completes x_{−t}.

        p*(v | x_{−t}) ∝ Σ_A α(A, t, 1) P(A → v): the outside probability of a leaf does not depend on its own token.
        """

        def part(plan: Plan, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            context, lost = self._leaf_contexts(plan, rows, lengths)
            shares = plan.ring.log(plan.ring.shares(plan.ring.apply(plan.emission, context)))
            return shares.permute(2, 1, 0).masked_fill((rows == PAD)[:, :, None], -math.inf), lost

        shape = (*tokens.shape, self.rules.n_tokens)
        found = torch.full(shape, -math.inf, dtype=torch.float64, device=tokens.device)
        self.fill(found, tokens, part)
        return found

    def log_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float64[Tensor, "context token"]:
        """Return log p*(v | x_{−t}) at the one MASK of each context; NaN where no token completes it."""

        def part(plan: Plan, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            context, lost = self._leaf_contexts(plan, rows, lengths)
            at = (rows == MASK).to(torch.int64).argmax(1)
            own = context.gather(1, at.expand(len(context), 1, -1))[:, 0]
            return plan.ring.log(plan.ring.shares(plan.ring.apply(plan.emission, own))).T, lost

        found = torch.empty(len(contexts), self.rules.n_tokens, dtype=torch.float64, device=contexts.device)
        self.fill(found, contexts, part)
        return found

    def fill(self, found: Tensor, tokens: Int64[Tensor, "sentence position"], part: Part) -> None:
        """Compute `part` of sentences chunk by chunk and write it to the first rows, and columns, of `found`.

        Sentences of one length come together, so that few spans of a chunk are padding.
        """
        lengths = (tokens != PAD).sum(1)

        def chunk(ring: type[Semiring], rows: Tensor) -> Tensor:
            longest = int(lengths[rows].max())
            values, lost = part(self.plan(ring, tokens.device), tokens[rows, :longest], lengths[rows])
            if values.ndim == 3:
                found[rows, :longest] = values
            else:
                found[rows] = values
            return lost

        linear_then_log(lengths.argsort(), chunk, lambda ring: self.chunk(tokens, ring))

    def chunk(self, tokens: Int64[Tensor, "sentence position"], ring: type[Semiring]) -> int:
        length = tokens.shape[1]
        budget = CHUNK.get(tokens.device.type, CHUNK_ELSEWHERE)
        cells = len(self.widths) * length * (length + 1) + 2 * length * (self.rules.n_tokens + len(self.rules.binary))
        if ring is Log:
            cells += len(self.widths) ** 2 * length
        return budget // cells

    def _leaf_contexts(self, plan: Plan, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return α of the leaves that emit tokens, and which sentences are out of range."""
        chart = inside(plan, rows)
        around = outside(plan, chart, lengths)
        lost = out_of_range(plan, chart) | out_of_range(plan, around)
        return around[1].index_select(0, plan.emitting), lost
