"""From a plain JSON configuration to a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from verify.networks.lstm import Lstm, LstmConfig
from verify.networks.network import Network
from verify.networks.transformer import Transformer, TransformerConfig


def build(
    config: dict[str, Any], stack: tuple[int, ...] = (), generators: Sequence[torch.Generator] | None = None
) -> Network:
    """Return the network of a configuration written by `to_json`.

    Without generators the parameters are zero (gains one), to be loaded from elsewhere.

    Raises:
        ValueError: the kind is unknown, or the configuration is not valid.
    """
    kind = config.get("kind")
    if kind == TransformerConfig.kind:
        return Transformer(TransformerConfig.from_json(config), stack, generators)
    if kind == LstmConfig.kind:
        return Lstm(LstmConfig.from_json(config), stack, generators)
    raise ValueError(f"expected kind 'transformer' or 'lstm', got {kind!r}; see verify.networks.factory")
