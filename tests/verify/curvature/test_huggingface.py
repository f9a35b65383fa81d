"""Hugging Face models of random weights: their likelihoods, and the traces of them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.verify.curvature.examples import filled, seeded
from verify.curvature import Examples, Labelled, trace
from verify.curvature.data import LogProb
from verify.curvature.fisher import exact_fisher
from verify.curvature.huggingface import (
    IGNORED,
    causal_examples,
    causal_lm_log_prob,
    masked_examples,
    masked_lm_log_prob,
)
from verify.curvature.hutchinson import exact_trace
from verify.curvature.likelihood import Likelihood, cross_entropy
from verify.curvature.products import canary

MASKED = 9
SENTENCES = torch.tensor([[1, 2, 3, 4], [5, 1, 1, 2], [2, 3, 5, 0]])
ATTENTION = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]])
MASKS = torch.tensor([[1, MASKED, 3, MASKED], [MASKED, 1, 1, 2], [2, 3, MASKED, 0]])


class Stub(nn.Module):
    """Answers as those models do: logits that depend on the token at the position."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 10)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SimpleNamespace:
        return SimpleNamespace(logits=self.table(input_ids))


def test_closed_form_rows_of_a_masked_model() -> None:
    model, log_prob = filled(Stub()), masked_lm_log_prob(MASKED)
    data = masked_examples(MASKS, SENTENCES, MASKED, ATTENTION)
    rows = log_prob(model, {"input_ids": MASKS})
    assert isinstance(model, Stub)
    assert torch.equal(rows, torch.log_softmax(model.table.weight[MASKED], -1).expand(4, -1))
    batch = data.draw(20, seeded())
    assert not isinstance(batch.inputs, Tensor)
    assert set(batch.inputs) == {"input_ids", "attention_mask"}
    assert batch.targets is not None
    assert len(batch.targets) == len(log_prob(model, batch.inputs))
    assert set(masked_examples(MASKS, SENTENCES, MASKED).inputs) == {"input_ids"}
    assert data.targets is not None
    assert data.targets[0].tolist() == [IGNORED, 2, IGNORED, 4]


def test_closed_form_rows_of_a_causal_model() -> None:
    model = filled(Stub())
    assert isinstance(model, Stub)
    for data, n in ((causal_examples(SENTENCES), 9), (causal_examples(SENTENCES, ATTENTION), 8)):
        assert not isinstance(data.inputs, Tensor)
        rows = causal_lm_log_prob(model, data.inputs)
        assert rows.shape == (n, 10)
        assert torch.equal(rows[:3], torch.log_softmax(model.table.weight[SENTENCES[0, :3]], -1))
        batch = data.draw(20, seeded())
        assert batch.targets is not None
        assert not isinstance(batch.inputs, Tensor)
        assert len(batch.targets) == len(causal_lm_log_prob(model, batch.inputs))


def test_nothing_to_predict() -> None:
    with pytest.raises(ValueError, match=f"expected a mask token, id {MASKED}, in input_ids, got none"):
        masked_lm_log_prob(MASKED)(Stub(), {"input_ids": SENTENCES})
    with pytest.raises(ValueError, match="sentences of at least two tokens, got nothing to predict"):
        causal_lm_log_prob(Stub(), {"input_ids": SENTENCES[:, :1]})


def masked_case(transformers: Any) -> tuple[nn.Module, LogProb, Examples]:
    config = transformers.BertConfig(
        vocab_size=10,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=4,
        max_position_embeddings=4,
    )
    masks = torch.where(torch.arange(4) == torch.tensor([[1], [0], [2]]), MASKED, SENTENCES)
    data = masked_examples(masks, SENTENCES, MASKED, ATTENTION)
    return filled(transformers.BertForMaskedLM(config)), masked_lm_log_prob(MASKED), data


def causal_case(transformers: Any) -> tuple[nn.Module, LogProb, Examples]:
    config = transformers.GPT2Config(
        vocab_size=10, n_positions=4, n_embd=4, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return filled(transformers.GPT2LMHeadModel(config)), causal_lm_log_prob, causal_examples(SENTENCES)


@pytest.mark.filterwarnings("ignore")  # transformers renames its arguments
@pytest.mark.parametrize("case", [masked_case, causal_case])
def test_cross_library_hugging_face_models(case: Callable[[Any], tuple[nn.Module, LogProb, Examples]]) -> None:
    """The library's own loss, and the traces over a set in which every sentence has as many rows."""
    transformers = pytest.importorskip("transformers", reason="needs transformers, the extra `oracles`")
    model, log_prob, data = case(transformers)
    assert data.targets is not None
    assert not isinstance(data.inputs, Tensor)
    aligned = nn.functional.pad(data.targets, (4 - data.targets.shape[1], 0), value=IGNORED)
    whole = Labelled(data.inputs, targets=data.targets[data.targets != IGNORED])
    likelihood = Likelihood(model, log_prob)
    ours, theirs = cross_entropy(likelihood.rows(whole.inputs), whole), model(**data.inputs, labels=aligned).loss
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=256 * 2.0**-23)  # theirs in float32

    hessian, fisher = float(exact_trace(likelihood, whole).sum()), float(exact_fisher(likelihood, whole).sum())
    for method, expected in (("fisher", fisher), ("fisher-per-sample", fisher), ("hutchinson", hessian)):
        found = trace(
            model,
            data,
            method,
            log_prob=log_prob,
            generator=seeded(),
            level=1 - 1e-6,
            batches=40,
            batch_size=4,
        )
        assert found.low <= expected <= found.high
    assert canary(likelihood, whole, seeded()) < 1e-5


def test_cross_library_tied_embeddings_of_hugging_face_count_once() -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers, the extra `oracles`")
    for case, layer in ((masked_case, "cls.predictions.decoder"), (causal_case, "lm_head")):
        model, log_prob, _ = case(transformers)
        names = Likelihood(model, log_prob).parameters
        assert f"{layer}.weight" in dict(model.named_parameters(remove_duplicate=False))
        assert f"{layer}.weight" not in names
