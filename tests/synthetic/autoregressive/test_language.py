"""Next-token models as languages: every route against Fractions and against each other, dead ends, refusals."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from synthetic import MASK, ImpossibleContextError, Language
from synthetic.autoregressive import Autoregressive, NGram, NGramLanguage, from_huggingface
from synthetic.autoregressive.language import DeadEndError
from synthetic.autoregressive.modules import CausalModule
from synthetic.autoregressive.next_token import AllPositions, NextToken, PrefixReuse, from_callable
from synthetic.catalogue import save
from synthetic.testing import conformance, exact_masked_law
from tests.synthetic.autoregressive.transformer import CausalTransformer

TEXT = [[0, 1, 0, 1, 1], [2, 1, 0], [0, 0, 1, 2, 2, 0, 1]]
NAMES = ("a", "b", "c", "d", "e")


def transformer(scale: float = 2.0, length: int = 8) -> CausalTransformer:
    generator = torch.Generator().manual_seed(3)
    return CausalTransformer(7, length, generator, width=8, heads=2, scale=scale)


class Logits(torch.nn.Module):
    """The transformer as a plain module: tokens to logits; the dropout must never act."""

    def __init__(self, inner: CausalTransformer) -> None:
        super().__init__()
        self.inner = inner
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        logits: Tensor = self.dropout(self.inner(tokens).logits)
        return logits


@dataclass(frozen=True)
class Table:
    """A law that depends on the whole prefix, with zeros, in Fractions and in float64."""

    n_tokens: int = 3
    order: int | None = None

    def exact(self, prefix: tuple[int, ...]) -> list[Fraction]:
        weights = [(sum((i + 2) * v for i, v in enumerate(prefix, 1)) * (w + 1) + w) % 4 for w in range(3)]
        weights[len(prefix) % 3] += 1
        return [Fraction(w, sum(weights)) for w in weights]

    def next_log_prob(self, prefixes: Tensor) -> Tensor:
        rows = [[float(p) for p in self.exact(tuple(row))] for row in prefixes.tolist()]
        return torch.tensor(rows, dtype=torch.float64).reshape(len(prefixes), 3).log()


def restricted_prob(
    table: Table, sentence: tuple[int, ...], tokens: tuple[int, ...], prompt: tuple[int, ...]
) -> Fraction:
    prob = Fraction(1)
    for t, v in enumerate(sentence):
        law = table.exact((*prompt, *(tokens[u] for u in sentence[:t])))
        prob *= law[tokens[v]] / sum(law[u] for u in tokens)
    return prob


def test_enumeration_of_a_long_memory_law_in_fractions() -> None:
    tokens, prompt = (2, 0, 1), (1,)
    language = Autoregressive(Table(), ("x", "y", "z"), 4, tokens=tokens, prompt=prompt, chunk=20)
    exact = {x: restricted_prob(Table(), x, tokens, prompt) for x in itertools.product(range(3), repeat=4)}
    assert sum(exact.values()) == 1
    got = language.log_prob(torch.tensor(list(exact))).exp()
    assert got.tolist() == pytest.approx([float(p) for p in exact.values()], rel=1e-13, abs=0.0)

    class Exact(Autoregressive):
        def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
            return exact[sentence]

    oracle = Exact(Table(), ("x", "y", "z"), 4, tokens=tokens, prompt=prompt)
    law = exact_masked_law(oracle)
    conditional = language.masked_conditional(torch.tensor(list(law))).tolist()
    for row, joint in zip(conditional, law.values(), strict=True):
        assert row == pytest.approx([float(mass / sum(joint)) for mass in joint], rel=1e-13, abs=0.0)
    assert set(conformance(oracle, n=500).skipped) == {"downstream tasks"}


MODELS: list[tuple[str, Callable[[], NextToken]]] = [
    ("callable", lambda: from_callable(from_huggingface(transformer(), bos=6).next_log_prob, 7)),
    ("module", lambda: CausalModule(Logits(transformer()), 7, bos=6)),
    ("all positions", lambda: from_huggingface(transformer(), bos=6, n_tokens=7, reuse_prefix=False)),
    ("prefix reuse", lambda: from_huggingface(transformer(), bos=6, n_tokens=7)),
]


@pytest.mark.parametrize(("route", "build"), MODELS)
@pytest.mark.parametrize(("prompt", "chunk"), [((), 2**24), ((5, 5), 60)])
def test_every_route_gives_the_same_language(
    route: str, build: Callable[[], NextToken], prompt: tuple[int, ...], chunk: int
) -> None:
    if route in {"callable", "prefix reuse"} or not prompt:
        model = build() if route != "callable" else from_callable(MODELS[1][1]().next_log_prob, 7)
        assert isinstance(model, PrefixReuse) == (route == "prefix reuse")
        assert isinstance(model, AllPositions) == (route != "callable")
        language = Autoregressive(model, NAMES[:3], 4, tokens=(4, 0, 2), prompt=prompt, chunk=chunk)
        reference = Autoregressive(MODELS[1][1](), NAMES[:3], 4, tokens=(4, 0, 2), prompt=prompt)
        x = language.sample(20, torch.Generator().manual_seed(0))
        torch.testing.assert_close(language.log_prob(x), reference.log_prob(x), rtol=1e-13, atol=1e-13)
        expected = torch.stack([Language.log_masked_conditional(reference, _masked(x, t)) for t in range(4)], 1)
        torch.testing.assert_close(language.log_masked_conditionals(x), expected, rtol=1e-12, atol=1e-12)


def _masked(x: Tensor, t: int) -> Tensor:
    return x.index_fill(1, torch.tensor([t]), MASK)


@pytest.mark.parametrize("build", [build for _, build in MODELS[1:]])
def test_networks_conform(build: Callable[[], NextToken]) -> None:
    language = Autoregressive(build(), NAMES[:2], 3, tokens=(4, 1))
    assert set(conformance(language, n=400).skipped) == {"downstream tasks"}


def test_a_large_network_language_conforms() -> None:
    model = from_huggingface(transformer(length=24), bos=6, n_tokens=7)
    report = conformance(Autoregressive(model, NAMES, 20, tokens=(0, 1, 2, 3, 4)), n=60)
    assert "conditionals obey Bayes" in report.passed


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("weight", [None, 0])
def test_finite_order_agrees_with_the_ngram_language(order: int, weight: int | None) -> None:
    model = NGram.fit(TEXT, 3, order, weight)
    general = Autoregressive(model, NAMES[:3], 5, chunk=90)
    special = NGramLanguage(model, NAMES[:3], 5)
    x = special.sample(5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(general.log_prob(x), special.log_prob(x), rtol=1e-13, atol=0.0)
    got, expected = general.masked_conditionals(x), special.masked_conditionals(x)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0.0)
    for t in range(5):
        torch.testing.assert_close(general.masked_conditional(_masked(x, t)), expected[:, t], rtol=1e-12, atol=0.0)


def test_finite_order_evaluates_only_what_holds_the_masked_token() -> None:
    rows: list[int] = []

    def law(prefixes: Tensor) -> Tensor:
        rows.append(len(prefixes))
        return NGram.fit(TEXT, 3, 2).next_log_prob(prefixes)

    per_length = []
    for T in (10, 50):
        language = Autoregressive(from_callable(law, 3, order=2), NAMES[:3], T)
        rows.clear()
        language.log_masked_conditional(_masked(torch.zeros(1, T, dtype=torch.int64), 4))
        per_length.append(sum(rows) - T)  # T factors of the context itself, then the candidates
    assert per_length == [3, 3]


def test_restriction_renormalises_at_every_step() -> None:
    # After token 0 the model mostly leaves the set {0, 1}; step by step that does not matter.
    move = torch.tensor([[0.01, 0.03, 0.96], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    start = torch.tensor([[0.2, 0.2, 0.6]], dtype=torch.float64)
    model = from_callable(lambda x: (move[x[:, -1]] if x.shape[1] else start.expand(len(x), 3)).log(), 3, order=2)
    language = Autoregressive(model, ("p", "q"), 2, tokens=(0, 1))
    got = language.log_prob(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])).exp()
    assert got.tolist() == pytest.approx([0.125, 0.375, 0.25, 0.25], rel=1e-15)


def test_zero_probabilities_and_dead_ends() -> None:
    move = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
    start = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    model = from_callable(lambda x: (move[x[:, -1]] if x.shape[1] else start.expand(len(x), 3)).log(), 3, order=2)
    language = Autoregressive(model, NAMES[:3], 4)
    assert set(conformance(language, n=300).skipped) == {"downstream tasks"}
    for method, bad in (
        (language.log_masked_conditional, [2, MASK, 0, 1]),
        (language.log_masked_conditional, [0, MASK, 2, 0]),
        (language.log_masked_conditionals, [1, 1, 1, 1]),
    ):
        with pytest.raises(ImpossibleContextError, match="expected a context of positive probability"):
            method(torch.tensor([[0, 1, 0, 1], bad])[1:])
    # Without token 1 nothing follows token 0.
    dead = Autoregressive(model, ("a", "c"), 2, tokens=(0, 2))
    x = torch.tensor([[0, 0]])
    attempts: list[Callable[[], Tensor]] = [
        lambda: dead.log_prob(x),
        lambda: dead.sample(1, torch.Generator()),
        lambda: dead.log_masked_conditional(_masked(x, 0)),
        lambda: dead.log_masked_conditional(_masked(x, 1)),
        lambda: dead.log_masked_conditionals(x),
    ]
    for attempt in attempts:
        with pytest.raises(DeadEndError, match="to be possible after 'a'"):
            attempt()


def test_networks_are_left_as_they_were_found() -> None:
    module = Logits(transformer())
    module.inner.eval()
    language = Autoregressive(CausalModule(module, 7, bos=6), NAMES[:3], 3, tokens=(0, 1, 2))
    language.sample(3, torch.Generator())
    assert module.training
    assert module.dropout.training
    assert not module.inner.training
    assert all(parameter.grad is None for parameter in module.parameters())


def test_single_precision_and_its_remedy() -> None:
    single = CausalModule(Logits(transformer().float()), 7, bos=6)
    x = torch.tensor([[0, 1, 2, 1]])
    double = Autoregressive(single.double(), NAMES[:3], 4, tokens=(0, 1, 2))
    rough = Autoregressive(single, NAMES[:3], 4, tokens=(0, 1, 2)).masked_conditionals(x)
    assert rough.dtype == torch.float64
    # Four float32 networks deep, with logits of size 2: a thousand roundings at most.
    torch.testing.assert_close(rough, double.masked_conditionals(x), rtol=1000 * torch.finfo(torch.float32).eps, atol=0)
    assert next(single.module.parameters()).dtype == torch.float32


def test_a_model_without_start_token_needs_a_prompt() -> None:
    model = CausalModule(Logits(transformer()), 7)
    with pytest.raises(ValueError, match="expected a start token or a prompt"):
        Autoregressive(model, NAMES[:3], 3, tokens=(0, 1, 2))
    prompted = Autoregressive(model, NAMES[:3], 3, tokens=(0, 1, 2), prompt=(6,))
    started = Autoregressive(CausalModule(Logits(transformer()), 7, bos=6), NAMES[:3], 3, tokens=(0, 1, 2))
    x = torch.tensor([[0, 2, 1]])
    torch.testing.assert_close(prompted.log_masked_conditionals(x), started.log_masked_conditionals(x))
    assert prompted.log_masked_conditionals(x[:0]).shape == (0, 3, 3)
    assert bool(model.log_probs(torch.tensor([[3]])).isnan().all())


def test_mutant_models_are_refused() -> None:
    class Leaky(torch.nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            return torch.nn.functional.one_hot(tokens, 7).double().mean(1, keepdim=True).expand(-1, tokens.shape[1], 7)

    class LeakyModel(CausalModule):
        def log_probs(self, sentences: Tensor) -> Tensor:
            logits: Tensor = self.module(sentences)
            return logits.log_softmax(-1)

    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    noise = torch.Generator().manual_seed(0)
    for error, message, law in (
        (TypeError, "expected float64 log-probabilities", lambda x: half.float().log().expand(len(x), 2)),
        (ValueError, r"got \(2, 3\) for 2 prefixes", lambda x: torch.zeros(len(x), 3).double()),
        (ValueError, "that sum to one, got 2 after", lambda x: torch.zeros(len(x), 2).double()),
        (ValueError, "same law", lambda x: torch.randn(len(x), 2, generator=noise).double().log_softmax(1)),
    ):
        with pytest.raises(error, match=message):
            Autoregressive(from_callable(law, 2), ("a", "b"), 3)
    with pytest.raises(ValueError, match="apply a causal mask"):
        Autoregressive(LeakyModel(Leaky(), 7, bos=6), NAMES[:3], 3, tokens=(0, 1, 2))
    with pytest.raises(ValueError, match="expected an order n >= 1 or None, got 0"):
        Autoregressive(from_callable(lambda x: half.log().expand(len(x), 2), 2, order=0), ("a", "b"), 3)
    # Honest on the trial, dishonest later.
    sly = from_callable(lambda x: half.log().expand(len(x), 2) + (math.log(2) if x[:, 0:1].sum() else 0.0), 2)
    with pytest.raises(ValueError, match="expected next-token probabilities that sum to one"):
        Autoregressive(sly, ("a", "b"), 2).log_prob(torch.tensor([[1, 0]]))


def test_refusals(tmp_path: Path) -> None:
    model = NGram.fit(TEXT, 3, 2)
    for arguments, message in (
        ((NAMES[:3], 0), "expected sentences of an integer T >= 1"),
        ((NAMES[:2], 3), "expected 3 distinct names, got 2"),
        ((("a", "a", "b"), 3), "2 distinct"),
        ((NAMES[:2], 3, (0, 3)), r"expected distinct model tokens 0\.\.2, got 3"),
        ((NAMES[:2], 3, (0, 0)), "got a repeated one"),
        ((NAMES[:2], 3, (0, 1), (9,)), "got 9"),
        (((), 3, ()), "expected 1 distinct names, got 0"),
        ((NAMES[:3], 3, None, (), 0), "expected a chunk of at least one number"),
    ):
        with pytest.raises(ValueError, match=message):
            Autoregressive(model, *arguments)
    language = Autoregressive(model, NAMES[:3], 3)
    with pytest.raises(TypeError, match="save the model's weights yourself and rebuild"):
        save(language, tmp_path / "a.json")
    with pytest.raises(ValueError, match="expected a sample size n >= 0"):
        language.sample(-1, torch.Generator())
    with pytest.raises(ValueError, match="expected logits of at least 9 tokens, got 7"):
        Autoregressive(CausalModule(Logits(transformer()), 9, bos=6), NAMES[:2], 3, tokens=(0, 1))
    with pytest.raises(TypeError, match="expected a torch module, got str"):
        from_huggingface("gpt2")
    with pytest.raises(ValueError, match="give n_tokens="):
        from_huggingface(transformer())
    with pytest.raises(ValueError, match="expected heads that divide the width"):
        CausalTransformer(7, 8, torch.Generator(), width=8, heads=3)


def test_a_cache_that_cannot_be_shared_is_refused() -> None:
    class Odd(CausalTransformer):  # its cache is opaque
        def forward(self, *args: Any, **named: Any) -> Any:
            answer = super().forward(*args, **named)
            return SimpleNamespace(logits=answer.logits, past_key_values=object())

    odd = from_huggingface(Odd(7, 8, torch.Generator(), width=8, heads=2), bos=6, n_tokens=7)
    language = Autoregressive(odd, NAMES[:3], 3, tokens=(0, 1, 2))
    with pytest.raises(TypeError, match="give reuse_prefix=False"):
        language.log_masked_conditionals(torch.tensor([[0, 1, 2]]))


@pytest.mark.filterwarnings("ignore")  # transformers renames its arguments
def test_cross_library_a_hugging_face_model() -> None:
    transformers = pytest.importorskip("transformers", reason="the adapter is compared with a real GPT-2 if installed")
    config = transformers.GPT2Config(vocab_size=11, n_positions=8, n_embd=16, n_layer=2, n_head=2, bos_token_id=10)
    gpt = transformers.GPT2LMHeadModel(config)
    x = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])
    found = []
    for reuse in (True, False):
        model = from_huggingface(gpt, reuse_prefix=reuse).double()
        language = Autoregressive(model, NAMES[:3], 4, tokens=(3, 5, 7))
        found.append(language.log_masked_conditionals(x))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)
    assert gpt.training
