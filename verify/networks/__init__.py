"""Masked-token networks written from primitives, so that derivatives up to the third order can be trusted.

- `network`: what all of them share: a stack of seeds that are evaluated together, states, a linear head
- `transformer`, `lstm`: the two architectures, of the layers in `primitives`; `first_order`: their fused kernels
- `factory`: `build(config)`, a network from a plain dict
- `rescaling`: other parameters, the same function
"""

from verify.networks.factory import build
from verify.networks.lstm import Lstm, LstmConfig
from verify.networks.network import Network, NetworkConfig
from verify.networks.transformer import Transformer, TransformerConfig

__all__ = [
    "Lstm",
    "LstmConfig",
    "Network",
    "NetworkConfig",
    "Transformer",
    "TransformerConfig",
    "build",
]
