"""n-gram models and their languages: Fractions, closed forms of Markov chains, hand counts, refusals."""

import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic import MASK, EnumerationTooLargeError, ImpossibleContextError, Language
from synthetic.autoregressive import NGram, NGramLanguage, ngram, ngram_language
from synthetic.autoregressive.gram_tables import GramTable
from synthetic.catalogue import LanguageFileError, load, save
from synthetic.sentence_tasks import ContainsTask
from synthetic.testing import ConformanceError, conformance
from synthetic.testing.strategies import contexts, ngram_languages

TEXT = [[0, 1, 0, 1, 1], [2, 1, 0], [0, 0, 1, 2, 2, 0, 1]]


def language(order: int, T: int = 4, weight: Fraction | int | None = None) -> NGramLanguage:
    return NGramLanguage(NGram.fit(TEXT, 3, order, weight), ("a", "b", "c"), T)


def random_language(c: int, order: int, T: int, weight: int | None = None) -> NGramLanguage:
    # Zipfian tokens, each pulled towards the one before.
    generator = torch.Generator().manual_seed(c + order)
    law = 1 / torch.arange(1.0, c + 1)
    draws = torch.multinomial(law, 400 * 25, replacement=True, generator=generator).reshape(400, 25)
    draws[:, 1::2] = (draws[:, 0::2][:, :12] * 3 + draws[:, 1::2]) % c
    return NGramLanguage(NGram.fit(draws.tolist(), c, order, weight), tuple(f"w{v}" for v in range(c)), T)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(("T", "weight"), [(1, None), (3, 0), (4, Fraction(1, 3)), (2, None)])
def test_conforms(order: int, T: int, weight: Fraction | int | None) -> None:
    assert not conformance(language(order, T, weight), n=1000).skipped


@pytest.mark.parametrize(("c", "order", "T", "weight"), [(40, 2, 16, None), (30, 3, 12, 0), (300, 3, 8, None)])
def test_large_instances_conform(c: int, order: int, T: int, weight: int | None) -> None:
    report = conformance(random_language(c, order, T, weight), n=300)
    assert ("entropy floor" in report.passed) == (order <= 2)


@given(ngram_languages(max_order=4), st.data())
@settings(max_examples=25, deadline=None)
def test_property_every_route_agrees_with_fractions(drawn: NGramLanguage, data: st.DataObject) -> None:
    model = drawn.model
    history = data.draw(st.lists(st.integers(0, model.n_tokens - 1), max_size=4))
    exact = [model.prob_exact(history, v) for v in range(model.n_tokens)]
    assert sum(exact) == 1
    law = model.next_log_prob(torch.tensor([history], dtype=torch.int64))[0].exp()
    assert law.tolist() == pytest.approx([float(p) for p in exact], rel=1e-14, abs=0.0)
    batch = data.draw(contexts(drawn))
    bayes = Language.masked_conditional(drawn, batch)
    torch.testing.assert_close(drawn.masked_conditional(batch), bayes, rtol=1e-13, atol=0.0)


@given(ngram_languages(max_order=3))
@settings(max_examples=12, deadline=None)
def test_property_written_out_tables_change_nothing(drawn: NGramLanguage) -> None:
    grams = torch.cartesian_prod(*[torch.arange(drawn.n_tokens)] * drawn.model.order).reshape(-1, drawn.model.order)
    limit, found = ngram.DENSE, []
    try:
        for ngram.DENSE in (0, drawn.n_tokens + 1, limit):  # sparse; the lower orders dense; logarithms of all
            model = NGram(drawn.n_tokens, drawn.model.grams, drawn.model.counts, drawn.model.weight)
            found.append([model.log_rows(grams, slot) for slot in range(model.order)])
    finally:
        ngram.DENSE = limit
    for slot, rows in enumerate(found[0]):
        torch.testing.assert_close(found[1][slot], rows, rtol=1e-15, atol=0.0)
        torch.testing.assert_close(found[2][slot], rows, rtol=1e-15, atol=0.0)


def test_closed_form_of_a_markov_chain() -> None:
    chain = language(2)
    move = chain.model.next_log_prob(torch.arange(3)[:, None]).exp()
    start = chain.model.next_log_prob(torch.zeros(1, 0, dtype=torch.int64)).exp()[0]
    sentence = torch.tensor([[2, 0, 1, 1]])
    joint = torch.stack([start * move[:, 0], move[2] * move[:, 1], move[0] * move[:, 1], move[1]])
    expected = joint / joint.sum(1, keepdim=True)
    torch.testing.assert_close(chain.masked_conditionals(sentence)[0], expected, rtol=1e-14, atol=0.0)


def test_closed_form_counts_by_hand() -> None:
    # After "a" (token 0) the text has b, b, a, b, b: N(ab) = 4, N(aa) = 1; b stands 6 times among 15, a 6, c 3.
    ml = NGram.fit(TEXT, 3, 2, 0)
    assert [ml.prob_exact((0,), v) for v in range(3)] == [Fraction(1, 5), Fraction(4, 5), 0]
    unigram = [Fraction(6 + 1, 15 + 3), Fraction(6 + 1, 15 + 3), Fraction(3 + 1, 15 + 3)]
    witten_bell = NGram.fit(TEXT, 3, 2)
    assert [witten_bell.prob_exact((0,), v) for v in range(3)] == [
        (count + 2 * p) / (5 + 2) for count, p in zip((1, 4, 0), unigram, strict=True)
    ]
    dirichlet = NGram.fit(TEXT, 3, 1, Fraction(1, 2))
    assert dirichlet.prob_exact((), 2) == (3 + Fraction(1, 2) * Fraction(1, 3)) / (15 + Fraction(1, 2))


def test_closed_form_floor_agrees_with_enumeration() -> None:
    for order in (1, 2):
        for T in (1, 2, 5):
            chain = language(order, T)
            assert chain.entropy_floor() == pytest.approx(Language.entropy_floor(chain), rel=1e-13)


def test_symmetry_relabelling_permutes_the_conditionals() -> None:
    order = torch.tensor([2, 0, 1])
    renamed = [[int(order[v]) for v in sentence] for sentence in TEXT]
    there = NGramLanguage(NGram.fit(renamed, 3, 3), ("a", "b", "c"), 4)
    x = torch.tensor([[0, 1, 1, 2], [2, 2, 0, 1]])
    got = there.masked_conditionals(order[x])[:, :, order]
    torch.testing.assert_close(got, language(3).masked_conditionals(x), rtol=1e-13, atol=0.0)


def test_without_smoothing_impossible_contexts_are_named() -> None:
    chain = language(2, 5, weight=0)
    for bad, text in (([MASK, 2, 0, 2, 2], "_ c a c c"), ([0, 2, 2, 0, MASK], "a c c a _")):
        with pytest.raises(ImpossibleContextError, match=text):
            chain.log_masked_conditional(torch.tensor([[0, 1, 0, 1, MASK], bad]))
    with pytest.raises(ImpossibleContextError, match="expected a context of positive probability"):
        chain.log_masked_conditionals(torch.tensor([[0, 2, 0, 2, 2]]))
    # One factor is zero at the masked token alone: the context is possible.
    assert chain.log_masked_conditionals(torch.tensor([[0, 1, 0, 1, 1]])).shape == (1, 5, 3)


def test_empty_batches_and_long_sentences() -> None:
    chain = language(3)
    assert chain.log_masked_conditionals(torch.zeros(0, 4, dtype=torch.int64)).shape == (0, 4, 3)
    assert chain.log_masked_conditional(torch.zeros(0, 4, dtype=torch.int64)).shape == (0, 3)
    assert chain.sample(0, torch.Generator()).shape == (0, 4)
    long = random_language(30, 2, 400)
    x = long.sample(2, torch.Generator().manual_seed(0))
    assert bool(long.log_prob(x).isfinite().all())
    assert bool((long.masked_conditionals(x).sum(2) - 1).abs().max() < 1e-13)


def test_files_keep_everything(tmp_path: Path) -> None:
    kept = NGramLanguage(NGram.fit(TEXT, 3, 2, Fraction(1, 7)), ("a", "b", "c"), 4, "a book")
    save(kept, tmp_path / "n.json")
    back = load(tmp_path / "n.json")
    assert isinstance(back, NGramLanguage)
    assert (back.provenance, back.model.weight, back.names, back.T) == ("a book", Fraction(1, 7), kept.names, 4)
    assert torch.equal(back.model.grams, kept.model.grams)
    assert torch.equal(back.model.counts, kept.model.counts)
    document = (tmp_path / "n.json").read_text()
    (tmp_path / "n.json").write_text(document.replace('"T": 4', '"T": 0'))
    with pytest.raises(LanguageFileError, match="expected sentences of an integer T >= 1"):
        load(tmp_path / "n.json")


def test_graph_shows_the_flow_between_tokens() -> None:
    graph = language(2, 6).graph()
    assert graph is not None
    move = language(2).model.next_log_prob(torch.arange(3)[:, None]).exp()
    one_hot = torch.eye(3).double()[language(2, 6).sample(20_000, torch.Generator().manual_seed(0))]
    counts = one_hot[:, :-1].mT @ one_hot[:, 1:]  # of the pairs in each sentence
    flow, error = counts.mean(0), counts.std(0) / 20_000**0.5
    assert move.shape == (3, 3)
    for a, b, weight in graph.edges(data="weight"):
        # Six standard errors of both flows of the ratio.
        allowed = 6 * float((error[a, b] + weight * error.flatten()[flow.argmax()]) / flow.max())
        assert float(flow[a, b] / flow.max()) == pytest.approx(weight, abs=allowed)
    assert language(1).graph() is None
    assert {data["label"] for _, data in graph.nodes(data=True)} == {"a", "b", "c"}


def test_the_downstream_task_tells_whether_a_word_occurs() -> None:
    chain = language(2, 3)
    (name, task), *rest = chain.downstream.items()
    assert not rest
    word = chain.vocabulary.index(name.removeprefix("contains-"))
    inputs = torch.tensor([[word] * 3, [(word + 1) % 3] * 3])
    assert task.label(inputs).tolist() == [1.0, 0.0]
    assert task.features(inputs).shape == (2, 9)
    for token in (-1, 3):
        with pytest.raises(ValueError, match=rf"expected a token 0\.\.2, got {token}"):
            ContainsTask(chain, token)


def test_no_transition_matrix_is_written_out_for_too_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram_language, "DENSE_STATES", 2)
    assert language(2).graph() is None
    assert language(2).entropy_floor() == Language.entropy_floor(language(2))
    with pytest.raises(EnumerationTooLargeError):
        language(2, 30).entropy_floor()


def test_mutant_a_forgotten_factor_is_caught() -> None:
    class Forgetful(NGramLanguage):
        def log_masked_conditional(self, contexts: torch.Tensor) -> torch.Tensor:
            positions = self.check_contexts(contexts)
            return torch.cat(
                [self.model.next_log_prob(x[None, :t]) for x, t in zip(contexts, positions.tolist(), strict=True)]
            )

    with pytest.raises(ConformanceError, match="Bayes"):
        conformance(Forgetful(language(2).model, ("a", "b", "c"), 4), n=500)


def test_refusals() -> None:
    for order, text, message in (
        (0, TEXT, "expected an order n >= 1, got 0"),
        (2, [[]], "expected a text with at least one token"),
        (2, [[0, 3]], r"expected tokens 0\.\.2, got 3"),
        (2, [[-1]], "got -1"),
        (40, TEXT, r"expected \(c \+ 1\)\^n < 2\^63"),
    ):
        with pytest.raises(ValueError, match=message):
            NGram.fit(text, 3, order)
    with pytest.raises(ValueError, match="expected a weight >= 0, got -1"):
        NGram.fit(TEXT, 3, 2, -1)
    for grams, counts, message in (
        ([[0, 1], [0, 1]], [1, 1], "expected distinct n-grams"),
        ([[0, 3]], [1], r"got \[0, 3\]"),
        ([[0, 1]], [0], "expected counts >= 1, got 0"),
        ([[0, 3, 1]], [1], "preceded by start marks 3 only"),
    ):
        with pytest.raises(ValueError, match=message):
            NGram(3, torch.tensor(grams), torch.tensor(counts))
    with pytest.raises(ValueError, match="expected at least one token"):
        NGram(3, torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected 3 distinct names"):
        NGramLanguage(language(2).model, ("a", "a", "b"), 4)
    with pytest.raises(ValueError, match="expected a sample size n >= 0"):
        language(2).sample(-1, torch.Generator())


def test_closed_form_rows_of_a_table() -> None:
    table = GramTable(torch.tensor([[0, 1], [2, 1], [2, 0]]), torch.tensor([1.0, 2.0, 3.0]).double(), 3, 9.0)
    assert table.at(torch.tensor([[2, 1], [1, 1]])).tolist() == [2.0, 9.0]
    assert table.rows(torch.tensor([[2, 7], [1, 7]]), 1, 2).tolist() == [[3.0, 2.0], [9.0, 9.0]]
    assert table.rows(torch.tensor([[7, 1]]), 0, 2).tolist() == [[1.0, 9.0]]
    assert math.isclose(float(table.values.sum()), 6.0)


def test_wrong_dtypes_are_refused_also_without_the_test_hook() -> None:
    # Under pytest beartype refuses them before the model does, hence another interpreter.
    program = """
import torch
from synthetic.autoregressive.ngram import NGram
from synthetic.autoregressive.ngram_language import NGramLanguage
grams, counts = torch.tensor([[0, 0]]), torch.tensor([1])
for bad in ((grams.int(), counts), (grams[0], counts), (grams, counts.double())):
    try:
        NGram(1, *bad)
    except TypeError as error:
        assert "expected int64 n-grams" in str(error), error
    else:
        raise SystemExit(1)
try:
    NGram(1, grams, torch.tensor([1, 1]))
except ValueError as error:
    assert "expected 1 counts, one per n-gram, got 2" in str(error), error
else:
    raise SystemExit(1)
assert NGramLanguage(NGram(1, grams, counts), ("a",), 3.0).length == 3
try:
    NGramLanguage(NGram(1, grams, counts), ("a",), 2.5)
except ValueError as error:
    assert "expected sentences of an integer T" in str(error), error
else:
    raise SystemExit(1)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
