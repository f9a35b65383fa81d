"""Per-sample score norms: by rule, by vmap and one by one, all against explicit scores; reused layers are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.verify.curvature.examples import (
    CONTEXTS,
    EPS,
    Convolution,
    Fused,
    Tied,
    filled,
    mlp,
    seeded,
    transformer,
    vectors,
)
from verify.curvature import Labelled
from verify.curvature.fisher import draw_directions
from verify.curvature.likelihood import Likelihood
from verify.curvature.per_example import looped_norms, mapped_norms
from verify.curvature.per_sample import _RULES, PerSampleFisher, Uses
from verify.networks import Lstm, LstmConfig, Transformer, TransformerConfig

SENTENCES = torch.randint(0, 5, (6, 4), generator=seeded(8))
SENTENCES[0, :3] = 2  # a token three times in one sentence
SENTENCES[1] = torch.tensor([0, 2, 2, 0])


class Reader(nn.Module):
    """Embeds a sentence, works on its positions, predicts from their sum."""

    def __init__(self, *layers: nn.Module, padding: int | None = None) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 6, padding_idx=padding)
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(6, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.log_softmax(self.head(torch.tanh(self.layers(self.embed(tokens))).sum(1)), -1)


class Positional(Reader):
    """With positions of its own: a parameter of no layer, and an embedding that all examples share."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 6))
        self.free, self.places = nn.Parameter(torch.zeros(4, 6)), nn.Embedding(4, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.free + self.places(torch.arange(4)[None])
        return torch.log_softmax(self.head(torch.tanh(self.layers(x)).sum(1)), -1)


class Every(Reader):
    """A prediction at each position."""

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.log_softmax(self.head(torch.tanh(self.layers(self.embed(tokens)))), -1).flatten(0, 1)


class Selecting(Every):
    """A prediction wherever the token is 2: as many rows as it happens."""

    def forward(self, tokens: Tensor) -> Tensor:
        states = torch.tanh(self.layers(self.embed(tokens)))
        return torch.log_softmax(self.head(states[tokens == 2]), -1)


class PositionFirst(Reader):
    """Its linear layer sees positions on the leading axis."""

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.layers(self.embed(tokens).transpose(0, 1))
        return torch.log_softmax(self.head(torch.tanh(x).sum(0)), -1)


class Twice(Reader):
    def forward(self, tokens: Tensor) -> Tensor:
        x = self.layers(torch.tanh(self.layers(self.embed(tokens))))
        return torch.log_softmax(self.head(torch.tanh(x).sum(1)), -1)


class Free(Reader):
    """Parameters of no layer: a sum, a product and products with matrices; one for each example, one by row."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.zeros(6, 3)), nn.Parameter(torch.zeros(3, 6))
        self.gain, self.shift = nn.Parameter(torch.ones(4, 1)), nn.Parameter(torch.zeros(1, 4, 6))
        self.each, self.row = nn.Parameter(torch.zeros(1, 4, 6)), nn.Parameter(torch.zeros(6))

    def forward(self, tokens: Tensor) -> Tensor:
        x = torch.tanh(self.embed(tokens) @ self.left) @ self.right
        x = self.shift + torch.mul(x, self.gain)
        x = x + self.each.expand(len(x), -1, -1)
        x = torch.stack([x[:, 0] + self.row, x[:, 1] * self.row], 1)
        return torch.log_softmax(self.head(torch.tanh(x).sum(1)), -1)


class Parts(Reader):
    """One matrix for two purposes, of which one needs a position only."""

    def __init__(self, overlap: int = 0) -> None:
        super().__init__()
        self.joint, self.overlap = nn.Parameter(torch.zeros(6, 12)), overlap

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        first, second = self.joint[:, 6:], self.joint[:, self.overlap : 6 + self.overlap]
        return torch.log_softmax(self.head(torch.tanh((x @ first).sum(1)) + x[:, 0] @ second), -1)


class Conv1D(nn.Module):
    """The linear layer of GPT-2 as Hugging Face writes it: weights (feature, out), rows flattened."""

    def __init__(self, out: int, feature: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(feature, out)), nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return flat.view(*x.size()[:-1], -1)


class Transposed(Reader):
    def __init__(self) -> None:
        super().__init__(Conv1D(40, 6), nn.GELU(), Conv1D(6, 40))


def house(**fields: bool) -> Transformer:
    return Transformer(TransformerConfig(3, 3, width=4, layers=2, heads=2, mlp_ratio=2, **fields))  # type: ignore[arg-type]


def encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)


class Attention(nn.Module):
    """torch's attention of a sentence to itself, positions first, with weights that nobody reads."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(6, 2, **options)

    def forward(self, x: Tensor) -> Tensor:
        mixed, _ = self.inner(*[x.transpose(0, 1)] * 3)
        return mixed.transpose(0, 1)  # type: ignore[no-any-return]


LEARNT = {
    f"layers.0.inner.{name}"
    for name in ("in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "out_proj.weight", "out_proj.bias")
}
INNER = {"layers.0.weight", "layers.0.bias"}
LSTM = {"layers.0.input", "layers.0.recurrent", "layers.0.bias"}
ONCE = torch.tensor([[2, 0, 1, 3], [4, 2, 1, 1], [0, 0, 0, 2]])
PADDED = torch.tensor([[-1, 2, 0], [1, -1, -2], [0, 1, -1], [-1, 1, -2]])
# model, inputs, the parameters whose scores are formed (None: all), and whether vmap forms them
CASES: dict[str, tuple[Callable[[], nn.Module], Tensor, set[str] | None, bool]] = {
    "rows of vectors": (mlp, vectors(6), set(), True),
    "linear at positions": (lambda: Reader(nn.Linear(6, 6)), SENTENCES, set(), True),
    "wide layers, few positions": (lambda: Reader(nn.Linear(6, 40), nn.Linear(40, 6)), SENTENCES, set(), True),
    "padding": (lambda: Reader(padding=2), SENTENCES, set(), True),
    "layer norm": (lambda: Reader(nn.LayerNorm(6)), SENTENCES, set(), True),
    "layer norm without bias": (lambda: Reader(nn.LayerNorm(6, bias=False)), SENTENCES, set(), True),
    "rms norm": (lambda: Reader(nn.RMSNorm(6)), SENTENCES, set(), True),
    "norm of two axes": (lambda: Reader(nn.LayerNorm((4, 6))), SENTENCES, set(), True),
    "positions": (Positional, SENTENCES, {"places.weight"}, True),
    "free operations": (Free, SENTENCES, {"each", "row"}, True),
    "parts of a matrix": (Parts, SENTENCES, set(), True),
    "parts that overlap": (lambda: Parts(overlap=1), SENTENCES, {"joint"}, True),
    "transposed": (Transposed, SENTENCES, set(), True),
    "one selected position": (lambda: Selecting(nn.Linear(6, 6)), ONCE, set(), True),
    "every position": (lambda: Every(nn.Linear(6, 6)), SENTENCES, set(), True),
    "selected positions": (lambda: Selecting(nn.Linear(6, 6)), SENTENCES[:2], {"head.weight", "head.bias"}, False),
    "position first": (lambda: PositionFirst(nn.Linear(6, 6)), SENTENCES, INNER, True),
    "used twice": (lambda: Twice(nn.Linear(6, 6)), SENTENCES, INNER, True),
    "one matrix in two layers": (Tied, vectors(6), {"first.weight"}, True),
    "convolution": (Convolution, vectors(6), {"filter.weight", "filter.bias", "norm.weight", "norm.bias"}, True),
    "attention": (Fused, CONTEXTS, set(), True),
    "encoder": (lambda: Reader(encoder()), SENTENCES, set(), True),
    "attention with learnt keys": (lambda: Reader(Attention(add_bias_kv=True)), SENTENCES, LEARNT, True),
    "attention of other features": (lambda: Reader(Attention(kdim=6, vdim=6)), SENTENCES, set(), True),
    "attention without biases": (lambda: Reader(Attention(bias=False)), SENTENCES, set(), True),
    "transformer of the house": (transformer, CONTEXTS, set(), True),
    "tied transformer of the house": (lambda: house(tied=True), CONTEXTS, {"token"}, True),
    "padded transformer of the house": (lambda: house(padded=True), PADDED, set(), True),
    "lstm of the house": (lambda: Lstm(LstmConfig(3, 3, width=4, layers=1)), CONTEXTS, LSTM, True),
}


def explicit(likelihood: Likelihood, inputs: Tensor, v: Tensor) -> Tensor:
    """Σ_b ‖score of example b‖² for every tensor, by one backward pass for each example."""
    totals, start = torch.zeros(len(likelihood.parameters), dtype=torch.float64), 0
    for example in inputs:
        rows = likelihood.model(example[None])
        own = v[start : start + len(rows)]
        start += len(rows)
        score: tuple[Tensor | None, ...] = torch.autograd.grad(
            (rows * own).sum(), list(likelihood.parameters.values()), allow_unused=True
        )
        totals += torch.stack([torch.zeros(()) if s is None else s.square().sum() for s in score])
    assert start == len(v)
    return totals / len(v)


@pytest.mark.parametrize("name", CASES)
def test_closed_form_norms_are_those_of_explicit_scores(name: str) -> None:
    make, inputs, formed, mapped = CASES[name]
    likelihood = Likelihood(filled(make()))
    observe = PerSampleFisher(likelihood)
    batch = Labelled(inputs)
    observe(likelihood, batch, 1, seeded())  # the trial
    assert observe.by_rule is not None
    assert set(likelihood.parameters) - observe.by_rule == (set(likelihood.parameters) if formed is None else formed)
    assert observe.mapped is mapped
    found = observe(likelihood, batch, 3, seeded(1))
    generator = seeded(1)
    log_p = likelihood.model(inputs).detach()
    for probe in range(3):
        right = explicit(likelihood, inputs, draw_directions(log_p, generator, "labels"))
        torch.testing.assert_close(found[probe], right, rtol=1024 * EPS, atol=64 * EPS * float(right.sum()))
    assert likelihood.model(inputs).requires_grad
    assert not any(module._forward_hooks for module in likelihood.model.modules())


@pytest.mark.parametrize("name", ["transformer of the house", "encoder", "convolution", "one matrix in two layers"])
def test_property_vmap_and_loop_agree_in_chunks_of_any_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, inputs, _, _ = CASES[name]
    likelihood = Likelihood(filled(make()))
    names = list(likelihood.parameters)
    log_p = likelihood.rows(inputs)
    v = torch.stack([draw_directions(log_p.detach(), seeded(seed), "labels") for seed in range(2)])
    looped = looped_norms(likelihood, names, inputs, log_p, v)
    assert looped.shape == (2, len(inputs), len(names))
    for examples in (1, 3, len(inputs)):
        monkeypatch.setattr("verify.curvature.per_example.ENTRIES", examples * likelihood.n_parameters)
        mapped = mapped_norms(likelihood, names, inputs, v)
        assert mapped is not None
        torch.testing.assert_close(mapped, looped, rtol=1024 * EPS, atol=64 * EPS * float(looped.sum(-1).max()))


def test_mutant_a_wrong_map_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: object) -> Tensor | None:
        found = mapped_norms(*arguments)  # type: ignore[arg-type]
        return None if found is None else found * (1 + 1e-6)

    monkeypatch.setattr("verify.curvature.per_sample.mapped_norms", wrong)
    likelihood = Likelihood(filled(Tied()))
    observe = PerSampleFisher(likelihood)
    observe(likelihood, Labelled(vectors(4)), 1, seeded())
    assert not observe.mapped


def test_mutant_a_wrong_rule_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(x: Tensor, shape: object, weight: Tensor, bias: Tensor, eps: float) -> Uses:
        yield weight, lambda g, n: (g * x).sum(1).square().sum(-1)  # the gain without the normalisation
        yield bias, lambda g, n: g.sum((1, 2))

    monkeypatch.setitem(_RULES, nn.functional.layer_norm, rule)
    likelihood = Likelihood(filled(Reader(nn.LayerNorm(6))))
    observe = PerSampleFisher(likelihood)
    observe(likelihood, Labelled(SENTENCES), 1, seeded())
    assert observe.by_rule is not None
    assert set(likelihood.parameters) - observe.by_rule == INNER


def test_mutant_parts_that_overlap_are_not_taken_for_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial sees what the count of uses would have stopped before."""
    likelihood = Likelihood(filled(Parts(overlap=1)))
    batch = Labelled(SENTENCES)
    monkeypatch.setattr("verify.curvature.per_sample._apart", lambda parameter, parts: True)
    observe = PerSampleFisher(likelihood)
    observe(likelihood, batch, 1, seeded())
    assert set(observe.by_rule or ()) == {"embed.weight", "head.weight", "head.bias"}


def test_property_a_later_batch_that_selects_unevenly_is_formed() -> None:
    """One position of each example in the trial, then two of one and none of another: as many rows as examples."""
    likelihood = Likelihood(filled(Selecting(nn.Linear(6, 6))))
    observe = PerSampleFisher(likelihood)
    observe(likelihood, Labelled(ONCE), 1, seeded())
    assert set(observe.by_rule or ()) == set(likelihood.parameters)
    uneven = torch.tensor([[2, 0, 1, 3], [4, 2, 2, 1], [0, 2, 0, 1]])
    found = observe(likelihood, Labelled(uneven), 1, seeded(1))[0]
    v = draw_directions(likelihood.model(uneven).detach(), seeded(1), "labels")
    right = explicit(likelihood, uneven, v)
    torch.testing.assert_close(found, right, rtol=1024 * EPS, atol=64 * EPS * float(right.sum()))


def test_property_one_example_and_float32() -> None:
    for model in (filled(Reader(nn.LayerNorm(6))), filled(Twice(nn.Linear(6, 6)))):
        double = Likelihood(model)
        batch = Labelled(SENTENCES[:1])
        found = []
        for likelihood in (double, Likelihood(model.float())):
            observe = PerSampleFisher(likelihood)
            observe(likelihood, batch, 1, seeded())
            log_p = likelihood.rows(batch.inputs)
            v = torch.zeros_like(log_p)
            v[:, 1] = 1.0
            found.append(looped_norms(likelihood, list(likelihood.parameters), batch.inputs, log_p, v[None])[0, 0])
            model.double()
        torch.testing.assert_close(found[1], found[0], rtol=1024 * 2.0**-23, atol=64 * 2.0**-23 * float(found[0].sum()))


def mixed(model: nn.Module, inputs: Tensor) -> Tensor:
    """Examples centred on their batch."""
    rows: Tensor = model(inputs - inputs.mean(0))
    return rows


def reversed_rows(model: nn.Module, inputs: Tensor) -> Tensor:
    rows: Tensor = model(inputs)
    return rows.flip(0)


def summary(model: nn.Module, inputs: Tensor) -> Tensor:
    """One row more than there are examples."""
    rows: Tensor = model(torch.cat([inputs, inputs[:1]]))
    return rows


def closing(model: nn.Module, inputs: Tensor) -> Tensor:
    """One row more for a batch of several."""
    rows: Tensor = model(inputs)
    return rows if len(rows) == 1 else torch.cat([rows, rows[-1:]])


@pytest.mark.parametrize("log_prob", [mixed, reversed_rows, summary, closing])
def test_rows_that_are_not_example_by_example(log_prob: Callable[[nn.Module, Tensor], Tensor]) -> None:
    likelihood = Likelihood(mlp(), log_prob)
    with pytest.raises(ValueError, match=r"log_prob of example \d alone to be its rows in the batch"):
        PerSampleFisher(likelihood)(likelihood, Labelled(vectors(4)), 1, seeded())
