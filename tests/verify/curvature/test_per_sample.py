"""Per-sample score norms: by rule, by vmap and one by one, all against explicit scores; reused layers are seen."""

from __future__ import annotations

from collections.abc import Callable

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
from verify.curvature.data import Batch, call_model
from verify.curvature.fisher import draw_directions
from verify.curvature.per_example import looped_norms, mapped_norms
from verify.curvature.per_sample import _RULES, PerSampleFisher
from verify.curvature.problem import Problem
from verify.networks.lstm import Lstm, LstmConfig

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


def encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)


ATTENTION = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
INNER = {"layers.0.weight", "layers.0.bias"}
# model, inputs, the parameters whose scores are formed (None: all), and whether vmap forms them
CASES: dict[str, tuple[Callable[[], nn.Module], Tensor, set[str] | None, bool]] = {
    "rows of vectors": (mlp, vectors(6), set(), True),
    "linear at positions": (lambda: Reader(nn.Linear(6, 6)), SENTENCES, set(), True),
    "wide layers, few positions": (lambda: Reader(nn.Linear(6, 40), nn.Linear(40, 6)), SENTENCES, set(), True),
    "padding": (lambda: Reader(padding=2), SENTENCES, set(), True),
    "layer norm": (lambda: Reader(nn.LayerNorm(6)), SENTENCES, set(), True),
    "layer norm without bias": (lambda: Reader(nn.LayerNorm(6, bias=False)), SENTENCES, set(), True),
    "rms norm": (lambda: Reader(nn.RMSNorm(6)), SENTENCES, set(), True),
    "norm of two axes": (lambda: Reader(nn.LayerNorm((4, 6))), SENTENCES, INNER, True),
    "positions": (Positional, SENTENCES, {"free", "places.weight"}, True),
    "every position": (lambda: Every(nn.Linear(6, 6)), SENTENCES, set(), True),
    "selected positions": (lambda: Selecting(nn.Linear(6, 6)), SENTENCES[:2], {"head.weight", "head.bias"}, False),
    "position first": (lambda: PositionFirst(nn.Linear(6, 6)), SENTENCES, INNER, True),
    "used twice": (lambda: Twice(nn.Linear(6, 6)), SENTENCES, INNER, True),
    "one matrix in two layers": (Tied, vectors(6), {"first.weight"}, True),
    "convolution": (Convolution, vectors(6), {"filter.weight", "filter.bias", "norm.weight", "norm.bias"}, True),
    "attention": (Fused, CONTEXTS, {f"attention.{name}" for name in ATTENTION}, True),
    "encoder": (lambda: Reader(encoder()), SENTENCES, {f"layers.0.self_attn.{name}" for name in ATTENTION}, True),
    "transformer of the house": (transformer, CONTEXTS, None, True),
    "lstm of the house": (lambda: Lstm(LstmConfig(3, 3, width=4, layers=1)), CONTEXTS, None, True),
}


def explicit(problem: Problem, inputs: Tensor, v: Tensor) -> Tensor:
    """Σ_b ‖score of example b‖² for every tensor, by one backward pass for each example."""
    totals, start = torch.zeros(len(problem.parameters), dtype=torch.float64), 0
    for example in inputs:
        rows = problem.model(example[None])
        own = v[start : start + len(rows)]
        start += len(rows)
        score: tuple[Tensor | None, ...] = torch.autograd.grad(
            (rows * own).sum(), list(problem.parameters.values()), allow_unused=True
        )
        totals += torch.stack([torch.zeros(()) if s is None else s.square().sum() for s in score])
    assert start == len(v)
    return totals / len(v)


@pytest.mark.parametrize("name", CASES)
def test_closed_form_norms_are_those_of_explicit_scores(name: str) -> None:
    make, inputs, formed, mapped = CASES[name]
    problem = Problem(filled(make()), call_model)
    observe = PerSampleFisher(problem)
    batch = Batch(inputs)
    observe(problem, batch, 1, seeded())  # the trial
    assert observe.by_rule is not None
    assert set(problem.parameters) - observe.by_rule == (set(problem.parameters) if formed is None else formed)
    assert observe.mapped is mapped
    found = observe(problem, batch, 3, seeded(1))
    generator = seeded(1)
    log_p = problem.model(inputs).detach()
    for probe in range(3):
        right = explicit(problem, inputs, draw_directions(log_p, generator, "labels"))
        torch.testing.assert_close(found[probe], right, rtol=1024 * EPS, atol=64 * EPS * float(right.sum()))
    assert problem.model(inputs).requires_grad
    assert not any(module._forward_hooks for module in problem.model.modules())


@pytest.mark.parametrize("name", ["transformer of the house", "encoder", "convolution", "one matrix in two layers"])
def test_property_vmap_and_loop_agree_in_chunks_of_any_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, inputs, _, _ = CASES[name]
    problem = Problem(filled(make()), call_model)
    names = list(problem.parameters)
    log_p = problem.rows(inputs)
    v = torch.stack([draw_directions(log_p.detach(), seeded(seed), "labels") for seed in range(2)])
    looped = looped_norms(problem, names, inputs, log_p, v)
    assert looped.shape == (2, len(inputs), len(names))
    for examples in (1, 3, len(inputs)):
        monkeypatch.setattr("verify.curvature.per_example.ENTRIES", examples * problem.n_parameters)
        mapped = mapped_norms(problem, names, inputs, v)
        assert mapped is not None
        torch.testing.assert_close(mapped, looped, rtol=1024 * EPS, atol=64 * EPS * float(looped.sum(-1).max()))


def test_mutant_a_wrong_map_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: object) -> Tensor | None:
        found = mapped_norms(*arguments)  # type: ignore[arg-type]
        return None if found is None else found * (1 + 1e-6)

    monkeypatch.setattr("verify.curvature.per_sample.mapped_norms", wrong)
    problem = Problem(transformer(), call_model)
    observe = PerSampleFisher(problem)
    observe(problem, Batch(CONTEXTS), 1, seeded())
    assert not observe.mapped


def test_mutant_a_wrong_rule_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {"weight": lambda layer, a, g: (g * a).sum(1).square().sum(-1), "bias": lambda layer, a, g: g.sum((1, 2))}
    monkeypatch.setitem(_RULES, nn.LayerNorm, rules)  # the gain without the normalisation
    problem = Problem(filled(Reader(nn.LayerNorm(6))), call_model)
    observe = PerSampleFisher(problem)
    observe(problem, Batch(SENTENCES), 1, seeded())
    assert observe.by_rule is not None
    assert set(problem.parameters) - observe.by_rule == INNER


def test_property_one_example_and_float32() -> None:
    for model in (filled(Reader(nn.LayerNorm(6))), filled(Twice(nn.Linear(6, 6)))):
        double = Problem(model, call_model)
        batch = Batch(SENTENCES[:1])
        found = []
        for problem in (double, Problem(model.float(), call_model)):
            observe = PerSampleFisher(problem)
            observe(problem, batch, 1, seeded())
            log_p = problem.rows(batch.inputs)
            v = torch.zeros_like(log_p)
            v[:, 1] = 1.0
            found.append(looped_norms(problem, list(problem.parameters), batch.inputs, log_p, v[None])[0, 0])
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
    problem = Problem(mlp(), log_prob)
    with pytest.raises(ValueError, match=r"log_prob of example \d alone to be its rows in the batch"):
        PerSampleFisher(problem)(problem, Batch(vectors(4)), 1, seeded())
