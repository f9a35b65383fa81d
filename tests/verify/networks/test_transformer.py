"""The transformer against that of torch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from synthetic import MASK, PAD
from verify.networks import Transformer, TransformerConfig
from verify.networks.transformer import Block

X = torch.tensor([[0, MASK, 3, PAD], [MASK, 4, 1, 2], [2, 0, MASK, PAD]])
PLAIN = TransformerConfig(5, 4, width=8, heads=2, mlp_ratio=2)


@pytest.mark.parametrize("config", [PLAIN, replace(PLAIN, tied=True, padded=True, activation="relu")])
def test_cross_library_the_encoder_of_torch_with_the_same_weights(config: TransformerConfig) -> None:
    generator = torch.Generator().manual_seed(0)
    own = Transformer(config, (), [generator]).double()
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, config.activation, norm_first=True, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8), enable_nested_tensor=False).double()
    with torch.no_grad():  # gains and biases that are not one and zero
        for parameter in own.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    weights: dict[str, Tensor] = {"norm.weight": own.norm.gain, "norm.bias": own.norm.bias}
    for k, block in enumerate(own.blocks):
        assert isinstance(block, Block)
        for name, norm in (("norm1", block.attention_norm), ("norm2", block.mlp_norm)):
            weights |= {f"layers.{k}.{name}.weight": norm.gain, f"layers.{k}.{name}.bias": norm.bias}
        for name, map_ in (
            ("self_attn.in_proj_", block.qkv),
            ("self_attn.out_proj.", block.out),
            ("linear1.", block.hidden),
            ("linear2.", block.output),
        ):
            weights |= {f"layers.{k}.{name}weight": map_.weight.mT, f"layers.{k}.{name}bias": map_.bias}
    encoder.load_state_dict(weights)
    x = X if config.padded else X.where(X != PAD, 4)
    embedded = own.token[torch.where(x < 0, 5, x)] + own.position
    state = encoder(embedded, src_key_padding_mask=x == PAD)[x == MASK]
    # A tied head is divided by √width, so that embeddings of size 1 give logits of size 1.
    logits = state @ own.token[:5].mT / 8**0.5 + own.head_bias if config.tied else own.unembedding(state)
    expected = torch.log_softmax(logits, -1)
    # Some hundred roundings in a row, of numbers of the size of the largest logit.
    atol = 1000 * torch.finfo(torch.float64).eps * float(expected.detach().abs().max())
    torch.testing.assert_close(own(x), expected, rtol=0, atol=atol)
