"""torch's attention, opened: its own answer with masks of all kinds, and nothing for what has no rule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.verify.curvature.examples import EPS, filled, seeded
from verify.curvature.joint_attention import opened_attention

LATER = torch.ones(4, 4, dtype=torch.bool).triu(1)
PADDING = torch.tensor([[False] * 4, [False, False, True, True], [False, True, False, False]])
OWN = torch.randn(6, 4, 4, generator=seeded(3), dtype=torch.float64)  # of every head of every sentence


class Opened(TorchFunctionMode):
    """Answers for torch's attention, and remembers whether it did."""

    used = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.functional.multi_head_attention_forward:
            found = opened_attention(*args, **(kwargs or {}))
            self.used = found is not None
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))


def called(options: dict[str, Any], arguments: dict[str, Any]) -> tuple[bool, tuple[Tensor, Tensor | None], Any]:
    module = filled(nn.MultiheadAttention(6, 2, **{"batch_first": True} | options))
    query, other = torch.randn(2, 3, 4, 6, generator=seeded(1), dtype=torch.float64)
    key, value = (other[..., : getattr(module, name)] for name in ("kdim", "vdim"))
    right = module(query, key, value, **arguments)
    with Opened() as mode:
        found = module(query, key, value, **arguments)
    return mode.used, found, right


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "other features": ({"kdim": 5, "vdim": 3}, {}),
    "no bias": ({"bias": False}, {}),
    "causal": ({}, {"attn_mask": LATER}),
    "causal by its name": ({}, {"attn_mask": LATER, "is_causal": True, "need_weights": False}),
    "padding": ({}, {"key_padding_mask": PADDING}),
    "both": ({}, {"key_padding_mask": PADDING, "attn_mask": LATER}),
    "added by head": ({}, {"attn_mask": OWN}),
    "weights of heads": ({}, {"average_attn_weights": False}),
    "no weights": ({}, {"need_weights": False, "attn_mask": OWN}),
    "dropout that is 0": ({"dropout": 0.0}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_cross_library_opened_attention_is_that_of_torch(name: str) -> None:
    used, found, right = called(*CASES[name])
    assert used
    # Three products of at most 6 terms of order 1 and a softmax, in another order: a few ε for each term.
    for ours, theirs in zip(found, right, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=64 * EPS, atol=64 * EPS)


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}, {"dropout": 0.5}])
def test_what_has_no_rule_is_left_to_torch(options: dict[str, Any]) -> None:
    module = filled(nn.MultiheadAttention(6, 2, **options)).train()
    x = torch.randn(4, 3, 6, generator=seeded(1), dtype=torch.float64)
    with Opened() as mode:
        module(x, x, x)
    assert not mode.used


def test_a_sentence_by_itself_is_left_to_torch() -> None:
    module = filled(nn.MultiheadAttention(6, 2))
    x = torch.randn(4, 6, generator=seeded(1), dtype=torch.float64)
    with Opened() as mode:
        module(x, x, x)
    assert not mode.used
