"""Masked-token networks written from primitives, so that derivatives up to the third order can be trusted.

`build(config)` makes one from a plain dict; `Transformer` and `Lstm` take a stack of seeds that train together.
"""

from verify.networks.factory import build
from verify.networks.lstm import Lstm, LstmConfig
from verify.networks.network import Network, NetworkConfig
from verify.networks.transformer import SIZES, Transformer, TransformerConfig, parameter_count

__all__ = [
    "SIZES",
    "Lstm",
    "LstmConfig",
    "Network",
    "NetworkConfig",
    "Transformer",
    "TransformerConfig",
    "build",
    "parameter_count",
]
