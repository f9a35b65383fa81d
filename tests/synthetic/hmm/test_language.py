"""The hidden Markov language: sums over hidden paths, Fractions, symmetries, underflow, other libraries, refusals."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthetic import MASK, PAD, ImpossibleContextError, Language, mask
from synthetic.enumeration import all_strings, log_fraction
from synthetic.hmm import HMM, dirichlet_hmm, mixture_of_hmms
from synthetic.hmm.chains import StationaryError
from synthetic.hmm.checks import ProbabilityError
from synthetic.hmm.inference import Messages
from synthetic.semiring import Linear, Log
from synthetic.testing import ConformanceError, conformance
from synthetic.testing.oracle import RELATIVE, SMALLEST_NORMAL, close
from synthetic.testing.properties import PROPERTIES
from synthetic.testing.strategies import contexts, hmm_languages

EPS = torch.finfo(torch.float64).eps
TOO_LARGE = {"probabilities sum to one", "sampling frequencies", "masked sampling frequencies", "entropy floor"}


def f64(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random_hmm(seed: int, states: int, tokens: int, lengths: Any, *, zeros: float = 0.0, size: float = 0.0) -> HMM:
    """Entries uniform times 10^{−size·uniform}, some of them zero."""
    generator = torch.Generator().manual_seed(seed)

    def rows(n: int, columns: int) -> Tensor:
        u, v, w = torch.rand(3, n, columns, generator=generator, dtype=torch.float64)
        table = torch.where(w < zeros, 0.0, u * 10.0 ** (-size * v))
        table[:, 0] += (table.sum(1) == 0).double()
        return table

    return HMM.normalised(rows(states, states), rows(states, tokens), rows(1, states)[0], lengths)


def paths_exact(language: HMM, sentence: tuple[int, ...]) -> dict[tuple[int, ...], Fraction]:
    """Joint probability of the sentence with every hidden path: the definition, term by term."""
    words = [v for v in sentence if v != PAD]
    transition, emission, start = (m.tolist() for m in (language.transition, language.emission, language.start))
    law = Fraction(language.lengths.tolist()[len(words) - 1]) if isinstance(language.lengths, Tensor) else Fraction(1)
    joint = {}
    for path in itertools.product(range(language.n_states), repeat=len(words)):
        prob = law * Fraction(start[path[0]])
        for s, to in itertools.pairwise(path):
            prob *= Fraction(transition[s][to])
        for s, v in zip(path, words, strict=True):
            prob *= Fraction(emission[s][v])
        joint[path] = prob
    return joint


CYCLE = HMM(f64([[0, 1, 0], [0, 0, 1], [1, 0, 0]]), f64([[1, 0], [0.5, 0.5], [0, 1]]), f64([0.5, 0.5, 0]), 4)
VARYING = random_hmm(1, 3, 3, f64([0.25, 0.0, 0.5, 0.25]), zeros=0.3)
EXTREME = [random_hmm(seed, 3, 2, 6, zeros=0.3, size=300) for seed in (0, 3, 5)]
MIXTURE = mixture_of_hmms([random_hmm(k, 2, 2, 4) for k in (2, 3)], f64([0.25, 0.75]), (2,))


# Two steps of probability 1e-200 lead to the state that emits token 1: messages reach 1e-400.
LADDER = HMM(f64([[1, 1e-200, 0], [0, 1, 1e-200], [0, 0, 1]]), f64([[1, 0], [1, 0], [0, 1]]), f64([1, 0, 0]), 3)
# Alternating tokens cost 1e-200 at every step: messages fall below any double within three.
ALTERNATING = HMM(f64([[1, 1e-200], [1e-200, 1]]), f64([[1, 1e-200], [1e-200, 1]]), f64([0.5, 0.5]), 5)


@pytest.mark.parametrize(
    "language",
    [
        HMM(f64([[1]]), f64([[0.25, 0.75]]), f64([1]), 3),
        HMM(f64([[0.5, 0.5], [0.1, 0.9]]), f64([[1], [1]]), f64([1, 0]), 2),
        random_hmm(0, 4, 5, 1),
        random_hmm(4, 2, 2, 6),
        CYCLE,
        VARYING,
        MIXTURE,
        EXTREME[0],
        LADDER,
        ALTERNATING,
    ],
    ids=repr,
)
def test_small_models_conform(language: HMM) -> None:
    assert not conformance(language, n=3000).skipped


def test_paper_scale_conforms() -> None:
    language = dirichlet_hmm(torch.Generator().manual_seed(0))
    assert (language.n_states, language.n_tokens, language.length) == (100, 200, 16)
    assert set(conformance(language, n=50).skipped) == TOO_LARGE
    long = dirichlet_hmm(torch.Generator().manual_seed(0), 6, 10, f64([1 / 20] * 20))
    assert set(conformance(long, n=50).skipped) == TOO_LARGE


@given(hmm_languages(max_length=3))
@settings(max_examples=15, deadline=None)
def test_enumeration_of_hidden_paths(language: HMM) -> None:
    sentences = language.candidates()
    joint = [paths_exact(language, tuple(row)) for row in sentences.tolist()]
    exact = [sum(paths.values(), Fraction(0)) for paths in joint]
    assert exact == [language.prob_exact(tuple(row)) for row in sentences.tolist()]
    for got, prob in zip(language.log_prob(sentences).tolist(), exact, strict=True):
        expected = log_fraction(prob)
        assert got == expected or close(got, expected, max(1.0, abs(expected)))
    inside = [i for i, prob in enumerate(exact) if prob > 0]
    posterior = language.state_posterior(sentences[inside])
    for row, i in zip(posterior, inside, strict=True):
        for t in range(language.length):
            for s in range(language.n_states):
                mass = sum((p for path, p in joint[i].items() if len(path) > t and path[t] == s), Fraction(0))
                assert close(float(row[t, s]), float(mass / exact[i]))


@given(hmm_languages(), st.data())
@settings(max_examples=15, deadline=None)
def test_property_every_route_gives_one_conditional(language: HMM, data: st.DataObject) -> None:
    batch = data.draw(contexts(language))
    one = language.log_masked_conditional(batch)
    torch.testing.assert_close(language.masked_conditional(batch), one.exp(), rtol=1e-12, atol=SMALLEST_NORMAL)
    for context, row in zip(batch.tolist(), one, strict=True):
        t = context.index(MASK)
        joint = [language.prob_exact((*context[:t], v, *context[t + 1 :])) for v in range(language.n_tokens)]
        expected = f64([log_fraction(mass / sum(joint)) for mass in joint])
        torch.testing.assert_close(row, expected, rtol=1e-12, atol=1e-12)


@given(hmm_languages())
@settings(max_examples=15, deadline=None)
def test_enumeration_the_candidates_are_the_support(language: HMM) -> None:
    strings = all_strings(language.n_tokens, language.length, padded=language.padded)
    support = [row for row in strings.tolist() if language.prob_exact(tuple(row)) > 0]
    assert language.candidates().tolist() == support
    assert language.n_candidates == len(support)


def test_the_support_is_counted_where_strings_are_too_many() -> None:
    assert replace(CYCLE, lengths=40).n_candidates == len(replace(CYCLE, lengths=40).candidates()) < 2**16
    assert not replace(CYCLE, lengths=9).log_prob(replace(CYCLE, lengths=9).candidates()).isinf().any()
    # Beyond 2^53 sentences, all strings are counted.
    assert rare(0.5, 60).n_candidates == 2**60


def test_closed_form_of_one_state_and_of_visible_states() -> None:
    law = f64([[0.1, 0.2, 0.7]])
    independent = HMM(f64([[1]]), law, f64([1]), 5)
    every = independent.masked_conditionals(torch.tensor([[0, 1, 2, 0, 1]]))
    torch.testing.assert_close(every[0], law.expand(5, 3), rtol=4 * EPS, atol=0.0)
    walk = f64([[0.5, 0.25, 0.25], [0.1, 0.3, 0.6], [0.2, 0.4, 0.4]])
    chain = HMM(walk, torch.eye(3, dtype=torch.float64), f64([0.2, 0.3, 0.5]), 3)
    middle = walk[0] * walk[:, 2]
    got = chain.masked_conditional(torch.tensor([[0, MASK, 2], [MASK, 1, 1], [2, 2, MASK]]))
    first = f64([0.2, 0.3, 0.5]) * walk[:, 1]
    expected = torch.stack([middle / middle.sum(), first / first.sum(), walk[2]])
    torch.testing.assert_close(got, expected, rtol=8 * EPS, atol=0.0)


def test_entropy_floor_by_the_chain_rule() -> None:
    # L* = mean over t of H(x) − H(x_{−t}), from the Fractions of the sentences alone.
    language = random_hmm(5, 3, 3, 4)
    exact = language.enumerate_exact()

    def entropy(prob: Any) -> float:
        return math.fsum(-float(p) * log_fraction(p) for p in prob)

    floor = 0.0
    for t in range(4):
        context: dict[tuple[int, ...], Fraction] = {}
        for row, prob in exact.items():
            rest = (*row[:t], *row[t + 1 :])
            context[rest] = context.get(rest, Fraction(0)) + prob
        floor += (entropy(exact.values()) - entropy(context.values())) / 4
    assert language.entropy_floor() == pytest.approx(floor, rel=RELATIVE)


@pytest.mark.parametrize("language", EXTREME)
def test_tiny_parameters_keep_all_digits(language: HMM) -> None:
    sentences = language.enumerate().sentences
    log_prob, every = language.log_masked_conditionals(sentences), language.masked_conditionals(sentences)
    for row, sentence in enumerate(sentences.tolist()):
        for t in range(6):
            joint = [language.prob_exact((*sentence[:t], v, *sentence[t + 1 :])) for v in range(2)]
            for v, mass in enumerate(joint):
                expected = log_fraction(mass / sum(joint))
                got = float(log_prob[row, t, v])
                assert got == expected or close(got, expected, max(1.0, abs(expected)))
                assert close(float(every[row, t, v]), float(mass / sum(joint)))


def rare(tiny: float, length: int) -> HMM:
    """State 0 is left with probability `tiny`, for state 1, which alone emits token 1; both stay otherwise."""
    return HMM(f64([[1 - tiny, tiny], [0, 1]]), f64([[1, 0], [1 - tiny, tiny]]), f64([1, 0]), length)


def test_underflow_is_told_apart_from_impossibility() -> None:
    language = rare(1e-200, 6)
    sentence = torch.tensor([[0, 1, 1, 1, 1, 0]])
    assert language.log_prob(sentence).tolist() == pytest.approx([5 * math.log(1e-200)], rel=1e-14)
    assert language.state_posterior(sentence)[0, 1:].tolist() == [[0.0, 1.0]] * 5
    # Token 1 at the mask needs state 1 one step earlier and costs one more factor; token 0 has two paths.
    context = torch.tensor([[0, MASK, 1, 1, 1, 0]])
    assert language.masked_conditional(context).tolist() == [pytest.approx([1.0, 0.5e-200], rel=4 * EPS)]
    with pytest.raises(ImpossibleContextError, match=r"'w1 _ w0 w0 w0 w0' = \[1, -1, 0, 0, 0, 0\]"):
        language.masked_conditional(torch.tensor([[1, MASK, 0, 0, 0, 0]]))
    with pytest.raises(ImpossibleContextError, match=r"\[1, -1, 0, 0, 0, 0\]"):
        language.log_masked_conditionals(torch.tensor([[0, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]]))
    assert language.log_prob(torch.tensor([[1, 0, 0, 0, 0, 0]])).tolist() == [-math.inf]


def test_subnormal_emissions_keep_all_digits() -> None:
    language = HMM(f64([[0.25, 0.75], [0.5, 0.5]]), f64([[1, 1e-310], [1, 2e-310]]), f64([0.5, 0.5]), 3)
    sentence = torch.tensor([[1, 1, 1]])
    exact = log_fraction(language.prob_exact((1, 1, 1)))
    assert language.log_prob(sentence).tolist() == pytest.approx([exact], rel=1e-15)
    mass = [language.prob_exact((1, v, 1)) for v in range(2)]
    got = language.log_masked_conditionals(sentence)[0, 1]
    torch.testing.assert_close(got, f64([log_fraction(m / sum(mass)) for m in mass]), rtol=1e-15, atol=EPS)


@pytest.mark.parametrize("start", [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
def test_a_likely_token_of_an_unreachable_state_hides_nothing(start: list[float]) -> None:
    language = HMM(f64([[0.25, 0.75], [0.5, 0.5]]), f64([[1, 1e-300], [0.5, 0.5]]), f64(start), 5)
    for row in language.candidates().tolist():
        exact = log_fraction(language.prob_exact(tuple(row)))
        assert language.log_prob(torch.tensor([row])).tolist() == pytest.approx([exact], rel=1e-14)
        every = language.log_masked_conditionals(torch.tensor([row]))[0]
        for t in range(5):
            mass = [language.prob_exact((*row[:t], v, *row[t + 1 :])) for v in range(2)]
            expected = f64([log_fraction(m / sum(mass)) for m in mass])
            torch.testing.assert_close(every[t], expected, rtol=1e-13, atol=8 * EPS)


def in_logarithms(language: HMM, sentences: Tensor) -> tuple[Tensor, Tensor]:
    """log P and the log conditionals of every position, all computed in logarithms."""
    every = replace(language)
    messages = Messages.of(Log(), language.transition, language.emission, language.start)
    every._kept[Linear, sentences.device] = messages
    return every.log_prob(sentences), every.log_masked_conditionals(sentences)


def test_long_sentences_agree_with_logarithms_and_with_bayes() -> None:
    steep = random_hmm(2, 4, 5, 60, zeros=0.3, size=40)
    sentences = steep.sample(3, torch.Generator().manual_seed(2))
    # At most 8 roundings a step.
    _, logarithms = in_logarithms(steep, sentences)
    torch.testing.assert_close(steep.log_masked_conditionals(sentences), logarithms, rtol=1e-12, atol=60 * 8 * EPS)
    mixing = dirichlet_hmm(torch.Generator().manual_seed(1), 7, 11, 512)
    sentences = mixing.sample(3, torch.Generator().manual_seed(2))
    log_prob = mixing.log_prob(sentences)
    assert (log_prob < -750).all()  # exp would be 0
    torch.testing.assert_close(log_prob, in_logarithms(mixing, sentences)[0], rtol=512 * EPS, atol=0.0)
    at = torch.tensor([0, 256, 511])
    one = mixing.log_masked_conditional(mask(sentences, at))
    torch.testing.assert_close(one, mixing.log_masked_conditionals(sentences)[range(3), at], rtol=1e-12, atol=1e-12)
    bayes = Language.log_masked_conditional(mixing, mask(sentences, at))
    torch.testing.assert_close(one, bayes, rtol=0.0, atol=float(-log_prob.min()) * 512 * EPS)


def test_symmetry_under_relabelling_of_tokens_and_states() -> None:
    language = random_hmm(6, 4, 5, 7)
    sentences = language.sample(20, torch.Generator().manual_seed(0))
    token, state = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([2, 0, 3, 1])
    renamed = HMM(
        language.transition[state][:, state],
        language.emission[state][:, token],
        language.start[state],
        language.lengths,
    )
    moved = token.argsort()[sentences]
    torch.testing.assert_close(renamed.log_prob(moved), language.log_prob(sentences), rtol=1e-14, atol=0.0)
    every = language.masked_conditionals(sentences)[:, :, token]
    torch.testing.assert_close(renamed.masked_conditionals(moved), every, rtol=1e-13, atol=0.0)
    posterior = language.state_posterior(sentences)[:, :, state]
    torch.testing.assert_close(renamed.state_posterior(moved), posterior, rtol=1e-13, atol=0.0)


@pytest.mark.parametrize("lengths", [5, f64([0.1, 0.2, 0.0, 0.7])])
def test_symmetry_under_reversal_of_a_stationary_chain(lengths: Any) -> None:
    drawn = random_hmm(7, 4, 3, lengths)
    language = replace(drawn, start=drawn.stationary_start())
    torch.testing.assert_close(language.start @ language.transition, language.start, rtol=1e-14, atol=0.0)
    sentences = language.sample(50, torch.Generator().manual_seed(0))
    size = (sentences != PAD).sum(1, keepdim=True)
    index = size - 1 - torch.arange(language.length)
    back = sentences.gather(1, index.clamp(min=0)).masked_fill(index < 0, PAD)
    assert not torch.equal(language.reversed().transition, language.transition)
    torch.testing.assert_close(language.reversed().log_prob(back), language.log_prob(sentences), rtol=1e-13, atol=0.0)
    again = language.reversed().reversed()
    torch.testing.assert_close(again.transition, language.transition, rtol=1e-12, atol=0.0)


def test_reversal_needs_a_stationary_start_and_leaves_unvisited_states_alone() -> None:
    with pytest.raises(StationaryError, match=r"expected a stationary start, got .* in state 1; start from stationary"):
        rare(0.5, 3).reversed()
    trapped = replace(rare(0.5, 3), start=rare(0.5, 3).stationary_start())
    assert trapped.start.tolist() == [0.0, 1.0]
    assert trapped.reversed().transition.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_mixture_is_the_weighted_sum_of_its_components() -> None:
    parts = [random_hmm(k, k + 1, 3, f64([0.5, 0.2, 0.3])) for k in range(3)]
    weights = f64([0.5, 0.25, 0.25])
    mixture = mixture_of_hmms(parts, weights)
    assert mixture.groups == (0, 1, 1, 2, 2, 2)
    strings = mixture.candidates()
    expected = sum(w * part.log_prob(strings).exp() for w, part in zip(weights, parts, strict=True))
    torch.testing.assert_close(mixture.log_prob(strings).exp(), expected, rtol=1e-13, atol=0.0)
    with pytest.raises(StationaryError, match="one closed class of states, got 3"):
        mixture.stationary_start()


def test_cross_library_hmmlearn() -> None:
    hmmlearn = pytest.importorskip("hmmlearn.hmm", reason="hmmlearn is not a dependency")
    language = random_hmm(8, 5, 7, 12)
    other = hmmlearn.CategoricalHMM(n_components=5, n_features=7)
    other.startprob_, other.transmat_ = language.start.numpy(), language.transition.numpy()
    other.emissionprob_ = language.emission.numpy()
    for sentence in language.sample(5, torch.Generator().manual_seed(0)):
        column = sentence[:, None].numpy()
        assert other.score(column) == pytest.approx(float(language.log_prob(sentence[None])), rel=1e-12)
        posterior = torch.from_numpy(other.predict_proba(column))
        torch.testing.assert_close(language.state_posterior(sentence[None])[0], posterior, rtol=1e-9, atol=1e-12)


def answers(language: HMM, sentences: Tensor) -> list[Tensor]:
    at = (sentences != PAD).sum(1) - 1
    contexts = mask(sentences, at)
    return [
        language.masked_conditionals(sentences),
        language.log_masked_conditionals(sentences),
        language.masked_conditional(contexts),
        language.log_masked_conditional(contexts),
        language.state_posterior(sentences),
        language.state_posterior_at(sentences, at),
        language.log_prob(sentences),
    ]


@pytest.mark.parametrize("language", [VARYING, EXTREME[0], random_hmm(9, 7, 9, 12)], ids=repr)
def test_chunks_give_what_single_rows_give(language: HMM, monkeypatch: pytest.MonkeyPatch) -> None:
    # Half of the rows of EXTREME would underflow, and are computed again in logarithms.
    drawn = language.sample(17, torch.Generator().manual_seed(3))
    rows = [answers(language, row[None]) for row in drawn]
    monkeypatch.setattr("synthetic.hmm.inference.CHUNK", 5 * language.length * language.n_states)
    for k, batch in enumerate(answers(language, drawn)):
        alone = torch.cat([row[k] for row in rows])
        # The order of summation is all that differs: at most one rounding per term, state and step.
        bound = language.length * language.n_states * EPS
        torch.testing.assert_close(batch, alone, rtol=bound, atol=bound if k in {1, 3} else SMALLEST_NORMAL)


def test_empty_batches() -> None:
    none = torch.empty(0, 4, dtype=torch.int64)
    assert VARYING.log_prob(none).shape == (0,)
    assert VARYING.masked_conditional(none).shape == (0, 3)
    assert VARYING.log_masked_conditionals(none).shape == (0, 4, 3)
    assert VARYING.state_posterior(none).shape == (0, 4, 3)
    assert VARYING.state_posterior_at(none, none[:, 0]).shape == (0, 3)
    assert VARYING.sample(0, torch.Generator()).shape == (0, 4)


def test_graph_shows_the_likely_transitions() -> None:
    graph = MIXTURE.graph()
    assert {attributes["group"] for _, attributes in graph.nodes(data=True)} == {0, 1}
    assert all(s // 2 == to // 2 for s, to in graph.edges)
    assert set(CYCLE.graph().edges) == {(0, 1), (1, 2), (2, 0)}
    assert max(weight for _, weight in CYCLE.graph().nodes(data="weight")) == 1.0


class Peeking(HMM):
    """Predicts a token with a message that has already seen it."""

    def log_masked_conditionals(self, sentences: Tensor) -> Tensor:
        seen = self.state_posterior(sentences).clamp(min=0.0)
        return (seen @ self.emission).log()


def test_mutant_that_peeks_at_the_masked_token_is_caught() -> None:
    honest = random_hmm(4, 2, 2, 4)
    with pytest.raises(ConformanceError) as caught:
        conformance(Peeking(honest.transition, honest.emission, honest.start, 4), n=500)
    assert caught.value.property_name == "all positions at once"


def test_mutant_that_never_falls_back_on_logarithms_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Messages, "lost", lambda self, messages: torch.zeros(len(messages), dtype=torch.bool))
    with pytest.raises(ConformanceError, match=r"\[-1, 0, 1\]") as caught:
        conformance(LADDER, n=500)
    assert caught.value.property_name == "conditionals obey Bayes"


HALF = f64([[0.5, 0.5], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"transition": f64([[0.5, 0.5], [0.5, 0.4]])},
            r"every row of transition to sum to one, got 0\.9, off by -0\.1, in row 1; .*normalised",
        ),
        ({"emission": f64([[1.5, -0.5], [0, 1]])}, r"finite entries >= 0 in emission, got -0\.5 in row 0, column 1"),
        ({"emission": f64([[1, 0], [math.nan, 1]])}, r"in emission, got nan in row 1, column 0"),
        ({"start": f64([0.5, 0.6])}, r"row of start to sum to one, got 1\.1, off by \+0\.1, in row 0"),
        ({"start": f64([1.0])}, r"expected transition of shape \(1, 1\).*got \(2, 2\)"),
        ({"start": HALF}, r"expected start of shape \(4,\)"),
        ({"start": f64([])}, r"expected start of shape \(0,\) without a side of length 0"),
        ({"emission": f64([0.5, 0.5])}, r"expected emission of shape \(2, 2\).*got \(2,\)"),
        ({"lengths": 0}, "expected a whole length of at least 1 token, got 0"),
        ({"lengths": f64([0.5, 0.6])}, r"row of lengths to sum to one"),
        ({"lengths": HALF}, r"expected lengths of shape \(4,\)"),
        ({"vocabulary": ("a",)}, r"expected 2 different names, .*got \('a',\)"),
        ({"vocabulary": ("a", "a")}, "expected 2 different names"),
        ({"groups": (0, 2)}, r"expected a group 0\.\.K-1"),
        ({"groups": (0,)}, r"for each of 2 states"),
        ({"groups": (0, 1)}, "transitions that stay in their group, got 0.5 from state 0 to state 1"),
        ({"state_positions": (0,)}, r"expected different state_positions among 1\.\.3, got 0"),
        ({"state_positions": (2, 2)}, "got 2 in"),
        ({"lengths": f64([0.5, 0.5, 0.0]), "state_positions": (3,)}, r"among 1\.\.2, got 3"),
    ],
)
def test_bad_parameters_are_refused(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"transition": HALF, "emission": HALF, "start": HALF[0], "lengths": 3}
    with pytest.raises(ValueError, match=message):
        HMM(**{**good, **change})


def test_single_precision_is_refused_and_normalised_on_request() -> None:
    with pytest.raises(TypeError, match=r"expected float64 in emission, got torch\.float32; convert"):
        HMM(HALF, HALF.float(), HALF[0], 3)
    built = HMM.normalised(3 * HALF.float(), f64([[1, 3], [0, 2]]), HALF[0], f64([1, 1]), vocabulary=("a", "b"))
    assert built.emission.tolist() == [[0.25, 0.75], [0.0, 1.0]]
    assert built.padded
    with pytest.raises(ProbabilityError, match=r"positive finite sum in every row of emission, got 0\.0 in row 1"):
        HMM.normalised(HALF, f64([[1, 1], [0, 0]]), HALF[0], 3)


def test_impossible_sentences_and_foreign_positions_are_refused() -> None:
    short = torch.tensor([[0, 1, PAD, PAD]])
    assert VARYING.log_prob(short).tolist() == [-math.inf]
    for method in (VARYING.state_posterior, VARYING.log_masked_conditionals):
        with pytest.raises(ImpossibleContextError, match=r"positive probability, got .*w1"):
            method(short)
    with pytest.raises(ImpossibleContextError, match=r"\[-1, 1, -2, -2\]"):
        VARYING.masked_conditional(torch.tensor([[MASK, 1, PAD, PAD]]))
    with pytest.raises(ImpossibleContextError, match=r"expected a sentence of positive probability, got 'w1 w0 w0 w0'"):
        CYCLE.state_posterior(torch.tensor([[1, 0, 0, 0]]))
    with pytest.raises(ValueError, match="expected a position inside the sentence, got 1 for row 0"):
        VARYING.state_posterior_at(torch.tensor([[0, PAD, PAD, PAD]]), torch.tensor([1]))
    with pytest.raises(ValueError, match="expected a sample size n >= 0, got -1"):
        CYCLE.sample(-1, torch.Generator())


def test_mixtures_of_what_does_not_fit_are_refused() -> None:
    part = HMM(HALF, HALF, HALF[0], 3)
    with pytest.raises(ValueError, match="expected at least one component"):
        mixture_of_hmms([], f64([]))
    with pytest.raises(ValueError, match="got others in component 1"):
        mixture_of_hmms([part, replace(part, lengths=4)], f64([0.5, 0.5]))
    with pytest.raises(ValueError, match="got others in component 1"):
        mixture_of_hmms([part, replace(part, vocabulary=("x", "y"))], f64([0.5, 0.5]))
    with pytest.raises(ProbabilityError, match="row of weights"):
        mixture_of_hmms([part, part], f64([0.5, 0.6]))
    with pytest.raises(ValueError, match="expected weights of shape"):
        mixture_of_hmms([part, part], f64([1.0]))


def test_conformance_covers_every_property() -> None:
    assert set(conformance(MIXTURE, n=500).passed) == set(PROPERTIES)
    assert isinstance(MIXTURE, Language)
