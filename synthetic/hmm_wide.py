"""The messages of a hidden Markov model with unlimited exponents: slow, and exact wherever float64 underflows."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.hmm_scaled import NEW_MEMORY, Room
from synthetic.wide import Wide


class WideArithmetic:
    """The steps of `ScaledArithmetic` in wide numbers; every result is sound, zero only if exactly so, in new memory.

    Costs rows · states · max(states, tokens) numbers of memory per step. Source: ours.
    """

    def __init__(
        self,
        transition: Float[Tensor, "state state"],
        emission: Float[Tensor, "state token"],
        start: Float[Tensor, " state"],
        *,
        logarithmic: bool,
    ) -> None:
        """Prepare the tables; results are written as logarithms on request."""
        ones = torch.ones(len(start), 1, dtype=torch.float64, device=start.device)
        self.start, self.emission = Wide.of(start), Wide.of(emission)
        self.transition, self.transposed = Wide.of(transition), Wide.of(transition.T)
        self.factors = Wide.of(torch.cat([emission, ones], 1).T)
        self.logarithmic = logarithmic

    def first(self, n: int) -> Wide:
        """Return the prediction of the first state, n times."""
        return Wide(self.start.mantissa.expand(n, -1), self.start.exponent.expand(n, -1))

    def last(self, n: int) -> Wide:
        """Return the backward message at the last token, n times: all one."""
        return Wide.of(torch.ones_like(self.start.mantissa).expand(n, -1))

    def forward(self, predicted: Wide, tokens: Int64[Tensor, " row"], room: Room = NEW_MEMORY) -> Wide:
        """Return the prediction of the next state after the given tokens."""
        return (predicted * self.factors[tokens]).matmul(self.transition)

    def backward(self, message: Wide, tokens: Int64[Tensor, " row"], room: Room = NEW_MEMORY) -> Wide:
        """Return the backward message one position earlier, before the given tokens."""
        return (message * self.factors[tokens]).matmul(self.transposed)

    def reset(self, message: Wide, rows: Bool[Tensor, " row"]) -> Wide:
        """Return the message with the given rows all one again: the sentence ends there."""
        one = self.last(1)
        return Wide(
            torch.where(rows[:, None], one.mantissa, message.mantissa),
            torch.where(rows[:, None], one.exponent, message.exponent),
        )

    def read_tokens(
        self,
        predicted: Wide,
        message: Wide,
        tokens: Int64[Tensor, " row"],
        out: Float[Tensor, "row token"],
        room: Room = NEW_MEMORY,
    ) -> tuple[Bool[Tensor, " row"], Bool[Tensor, " row"]]:
        """Write Pr(token | the others) to `out`; return which rows are possible, and which sound."""
        return self._read((predicted * message).matmul(self.emission), out)

    def read_states(
        self,
        predicted: Wide,
        message: Wide,
        tokens: Int64[Tensor, " row"],
        out: Float[Tensor, "row state"],
        room: Room = NEW_MEMORY,
    ) -> tuple[Bool[Tensor, " row"], Bool[Tensor, " row"]]:
        """Write Pr(state | all tokens) to `out`; return which rows are possible, and which sound."""
        return self._read(predicted * message * self.factors[tokens], out)

    def log_total(
        self, message: Wide, tokens: Int64[Tensor, "position row"]
    ) -> tuple[Float[Tensor, " row"], Bool[Tensor, " row"]]:
        """Return log Σ_s start(s) E(s, first token) message(s), and which rows are sound; of all the row's tokens."""
        mass = (message * self.factors[tokens[0]] * self.start[None]).sum(1)
        sound = torch.ones_like(tokens[0], dtype=torch.bool)
        return mass.mantissa.log() + mass.exponent.double() * math.log(2), sound

    def _read(self, joint: Wide, out: Float[Tensor, "row column"]) -> tuple[Tensor, Tensor]:
        mass = joint.sum(1)
        out.copy_(joint.log_ratio(mass[:, None]) if self.logarithmic else joint.ratio(mass[:, None]))
        return mass.mantissa > 0, torch.ones_like(mass.mantissa, dtype=torch.bool)
