"""The LSTM against that of torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from synthetic import MASK, PAD
from verify.networks import Lstm, LstmConfig
from verify.networks.lstm import Layer

X = torch.tensor([[0, MASK, 3, PAD], [MASK, 4, 1, 2], [2, 0, MASK, PAD]])


@pytest.mark.parametrize("padded", [False, True])
def test_cross_library_states_are_those_of_torch_with_the_same_weights(padded: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    own = Lstm(LstmConfig(5, 4, width=6, padded=padded), (), [generator]).double()
    library = nn.LSTM(6, 3, num_layers=2, batch_first=True, bidirectional=True).double()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    weights: dict[str, Tensor] = {}
    for k, layer in enumerate(own.layers):
        assert isinstance(layer, Layer)
        for direction, end in enumerate((f"l{k}", f"l{k}_reverse")):
            weights |= {
                f"weight_ih_{end}": layer.input[direction].mT,
                f"weight_hh_{end}": layer.recurrent[direction].mT,
                f"bias_ih_{end}": layer.bias[direction],
                f"bias_hh_{end}": torch.zeros_like(layer.bias[direction]),  # torch has two biases, that are added
            }
    library.load_state_dict(weights)
    x = X if padded else X.where(X != PAD, 4)
    packed = pack_padded_sequence(
        own.token[torch.where(x < 0, 5, x)], (x != PAD).sum(1), batch_first=True, enforce_sorted=False
    )
    expected, _ = pad_packed_sequence(library(packed)[0], batch_first=True)
    # States are at most 1; some hundred roundings in a row.
    torch.testing.assert_close(own.states(x), expected, rtol=0, atol=1000 * torch.finfo(torch.float64).eps)
    log_prob = torch.log_softmax(expected[x == MASK] @ own.head_weight + own.head_bias, -1)
    torch.testing.assert_close(own(x), log_prob, rtol=0, atol=1e4 * torch.finfo(torch.float64).eps)
