r"""Likelihoods of Hugging Face models: a masked one at its mask positions, a causal one at every next token.

The models are given, never loaded here.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from verify.curvature.data import Examples, LogProb

IGNORED = -100
"""The target of a position that makes no row, as in that library."""


def masked_lm_log_prob(mask_token_id: int) -> LogProb:
    """Return the likelihood of a masked language model: a row for each mask in `input_ids`, sentence by sentence.

    Inputs are tensors by name, `input_ids` and perhaps `attention_mask` and what else the model takes.
    """

    def log_prob(model: nn.Module, inputs: Mapping[str, Tensor]) -> Float[Tensor, "row token"]:
        rows = model(**inputs).logits[inputs["input_ids"] == mask_token_id]
        if not len(rows):
            raise ValueError(f"expected a mask token, id {mask_token_id}, in input_ids, got none; mask a position")
        return torch.log_softmax(rows, dim=-1)

    return log_prob


def causal_lm_log_prob(model: nn.Module, inputs: Mapping[str, Tensor]) -> Float[Tensor, "row token"]:
    """Return log p(x_{t+1} | x_1 … x_t): a row for each position but the first, sentence by sentence.

    Positions whose next token `attention_mask` leaves out make no row.

    Raises:
        ValueError: nothing is left to predict.
    """
    logits = model(**inputs).logits[:, :-1]
    attended = inputs.get("attention_mask")
    rows = logits.flatten(0, 1) if attended is None else logits[attended[:, 1:].bool()]
    if not len(rows):
        raise ValueError("expected sentences of at least two tokens, got nothing to predict; give longer ones")
    return torch.log_softmax(rows, dim=-1)


def causal_examples(
    input_ids: Int64[Tensor, "example position"], attention_mask: Int64[Tensor, "example position"] | None = None
) -> Examples:
    """Return sentences as data for `causal_lm_log_prob`, their own next tokens as targets."""
    targets = input_ids[:, 1:]
    if attention_mask is None:
        return Examples({"input_ids": input_ids}, targets)
    targets = targets.masked_fill(attention_mask[:, 1:] == 0, IGNORED)
    return Examples({"input_ids": input_ids, "attention_mask": attention_mask}, targets)


def masked_examples(
    input_ids: Int64[Tensor, "example position"],
    targets: Int64[Tensor, "example position"],
    mask_token_id: int,
    attention_mask: Int64[Tensor, "example position"] | None = None,
) -> Examples:
    """Return sentences as data for `masked_lm_log_prob`: `targets` count where `input_ids` hold the mask token."""
    kept = targets.masked_fill(input_ids != mask_token_id, IGNORED)
    inputs = {"input_ids": input_ids}
    if attention_mask is not None:
        inputs["attention_mask"] = attention_mask
    return Examples(inputs, kept)
