"""Data, likelihoods and blocks: what they hold in closed form, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from synthetic.hmm import sticky_hmm
from tests.verify.curvature.examples import EPS, filled, mlp, off_gamma, seeded, transformer, vectors
from verify.curvature import Examples, Labelled, LanguageData, Population, call_model, softmax_of_model, trace
from verify.curvature.data import n_examples, select
from verify.curvature.likelihood import REST, Likelihood, assign_blocks, cross_entropy
from verify.networks import Transformer, TransformerConfig

HALF = torch.tensor([0.5, 0.5], dtype=torch.float64)


def test_closed_form_a_population_is_drawn_from_with_its_probabilities() -> None:
    prob = torch.tensor([0.7, 0.0, 0.3], dtype=torch.float64)
    conditional = torch.eye(3, dtype=torch.float64)
    population = Population(torch.arange(3), prob, conditional)
    assert population.size == 2
    batch = population.draw(4000, seeded())
    assert isinstance(batch.inputs, Tensor)
    counts = torch.bincount(batch.inputs, minlength=3)
    assert counts[1] == 0
    # six deviations of a binomial
    assert abs(int(counts[0]) - 2800) < 6 * math.sqrt(4000 * 0.21)
    assert batch.log_conditional is not None
    assert torch.equal(batch.log_conditional.exp(), conditional[batch.inputs])
    assert batch.weight is None
    whole = population.whole()
    assert isinstance(whole.inputs, Tensor)
    assert whole.inputs.tolist() == [0, 2]
    assert whole.weight is not None
    assert whole.weight.tolist() == [0.7, 0.3]


@pytest.mark.parametrize(
    ("prob", "conditional", "message"),
    [
        (torch.ones(3) / 3, torch.full((3, 2), 0.5), "one conditional for each of 2 inputs, got 3 and 3"),
        (HALF + 1e-3, torch.full((2, 2), 0.5), "expected prob to be non-negative and to sum to 1"),
        (torch.tensor([1.5, -0.5]), torch.full((2, 2), 0.5), "got a least entry -0.5"),
        (HALF, torch.full((2, 2), 0.4), "expected conditional to be .* sums from 0.8.* normalise it"),
        (torch.tensor([math.nan, 1.0]), torch.full((2, 2), 0.5), "expected prob"),
    ],
)
def test_a_population_needs_probabilities(prob: Tensor, conditional: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Population(torch.zeros(2, 1), prob, conditional)


def test_closed_form_language_data_have_exact_conditionals_if_asked() -> None:
    language = sticky_hmm(seeded(1), 2, 3, 3)
    exact = LanguageData(language).draw(6, seeded())
    blind = LanguageData(language, exact=False).draw(6, seeded())
    assert isinstance(exact.inputs, Tensor)
    assert isinstance(blind.inputs, Tensor)
    assert torch.equal(exact.inputs, blind.inputs)
    assert exact.log_conditional is not None
    assert blind.log_conditional is None
    assert torch.equal(exact.log_conditional, language.log_masked_conditional(exact.inputs))
    assert exact.targets is not None
    assert bool(exact.log_conditional.gather(1, exact.targets[:, None]).isfinite().all())
    population = LanguageData(language).population()
    network = filled(Transformer(TransformerConfig(3, 3, width=4, layers=1, heads=1, mlp_ratio=1)))
    whole = trace(network, population, "exact", generator=seeded())
    for data in (LanguageData(language), LanguageData(language, exact=False)):
        found = trace(network, data, "hutchinson", generator=seeded(), level=1 - 1e-6, batches=32, batch_size=6)
        assert found.low <= whole.estimate <= found.high


def test_closed_form_examples_are_drawn_with_their_targets() -> None:
    targets = torch.tensor([[0, -100], [2, 1], [-100, -100]])
    data = Examples({"x": torch.arange(3), "y": 2 * torch.arange(3)}, targets)
    batch = data.draw(50, seeded())
    assert not isinstance(batch.inputs, Tensor)
    x = batch.inputs["x"]
    assert set(x.tolist()) == {0, 1, 2}
    assert torch.equal(batch.inputs["y"], 2 * x)
    assert batch.targets is not None
    assert batch.targets.tolist() == [t for i in x.tolist() for t in targets[i].tolist() if t >= 0]
    assert Examples(torch.arange(3)).draw(2, seeded()).targets is None
    assert n_examples(batch.inputs) == 50
    assert torch.equal(select(torch.arange(3), torch.tensor([True, False, True])), torch.tensor([0, 2]))  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "targets"), [(0, None), (3, torch.tensor([0, 1]))])
def test_examples_need_a_target_each(n: int, targets: Tensor | None) -> None:
    with pytest.raises(ValueError, match=f"expected at least one example and targets for each, got {n} examples"):
        Examples(torch.zeros(n, 1), targets)


def test_closed_form_cross_entropy() -> None:
    log_p = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64))
    certain = torch.tensor([[0.0, 1.0], [0.5, 0.5]], dtype=torch.float64).log()
    given = Labelled(vectors(2), certain)
    entropy = -(0.5 * math.log(0.75) + 0.5 * math.log(0.5))
    assert float(cross_entropy(log_p, given)) == pytest.approx(entropy, rel=16 * EPS)
    weighted = Labelled(vectors(2), certain, weight=torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert float(cross_entropy(log_p, weighted)) == pytest.approx(-math.log(0.75), rel=16 * EPS)
    labelled = Labelled(vectors(2), targets=torch.tensor([0, 1]))
    expected = -0.5 * (math.log(0.25) + math.log(0.5))
    assert float(cross_entropy(log_p, labelled)) == pytest.approx(expected, rel=16 * EPS)


def test_property_p_star_is_computed_once_and_only_if_asked() -> None:
    asked: list[int] = []

    def compute() -> Tensor:
        asked.append(1)
        return torch.zeros(2, 1)

    batch = Labelled(vectors(2), compute)
    assert not asked
    for _ in range(3):
        assert batch.log_conditional is not None
    assert asked == [1]


def test_nothing_trainable() -> None:
    with pytest.raises(ValueError, match="parameters that require gradients, got none; call requires_grad_"):
        Likelihood(mlp().requires_grad_(False), call_model)


@pytest.mark.parametrize("layer", [nn.Dropout(0.1), nn.BatchNorm1d(3)])
def test_a_random_or_shared_likelihood(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(3, 3), layer, nn.LogSoftmax(-1))
    with pytest.raises(ValueError, match=rf"got {type(layer).__name__} '1' in training mode; call model.eval\(\)"):
        Likelihood(model, call_model)
    Likelihood(model.eval(), call_model)
    Likelihood(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.0)), call_model)


def test_scores_are_not_probabilities() -> None:
    with pytest.raises(ValueError, match=r"got \|log Σ p\| up to .* give log_prob=softmax_of_model"):
        Likelihood(nn.Linear(3, 3), call_model).rows(vectors().float())
    Likelihood(nn.Linear(3, 3), softmax_of_model).rows(1e4 * vectors().float())
    broken = nn.Linear(3, 3)
    nn.init.constant_(broken.weight, math.nan)
    with pytest.raises(ValueError, match="expected normalised rows"):
        Likelihood(broken, softmax_of_model).rows(vectors().float())


def test_a_stack_of_networks_is_no_table() -> None:
    stack = Transformer(TransformerConfig(3, 3, width=4, layers=1, heads=1), (2,))
    with pytest.raises(ValueError, match=r"shape \(\) \+ \(row, token\), got \(2, 1, 3\); .* one member of a stack"):
        Likelihood(stack, call_model).rows(torch.tensor([[-1, 0, 1]]))
    assert Likelihood(stack.member(0), call_model).rows(torch.tensor([[-1, 0, 1]])).shape == (1, 3)


def test_closed_form_flat_and_split_are_inverse() -> None:
    likelihood = Likelihood(transformer(), call_model)
    v = torch.randn(2, likelihood.n_parameters, generator=seeded(), dtype=torch.float64)
    parts = likelihood.split(v)
    assert [tuple(part.shape[1:]) for part in parts] == [tuple(p.shape) for p in likelihood.parameters.values()]
    assert torch.equal(likelihood.flat([part[1] for part in parts]), v[1])
    rtol = likelihood.n_parameters * EPS
    torch.testing.assert_close(likelihood.dots(v, v).sum(-1), v.square().sum(-1), rtol=rtol, atol=0)
    nothing: list[Tensor | None] = [None] * len(parts)
    assert torch.equal(likelihood.flat(nothing), torch.zeros(likelihood.n_parameters, dtype=torch.float64))


def test_closed_form_blocks() -> None:
    names = ["a.w", "a.b", "b.w", "c"]
    assert assign_blocks(names, None) == {}
    assert assign_blocks(names, {"one": "a.", "two": ("b", "c")}) == {"one": [0, 1], "two": [2, 3]}
    assert assign_blocks(names, {"one": "a.w"}) == {"one": [0], REST: [1, 2, 3]}


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"one": "a", "two": "a.w"}, r"disjoint blocks, got the parameter 'a.w' in \['one', 'two'\]"),
        ({"one": "z"}, "a parameter in block 'one', got none among"),
        ({REST: "a"}, f"blocks other than '{REST}', which is what is left over"),
    ],
)
def test_blocks_that_are_none(blocks: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assign_blocks(["a.w", "b"], blocks)
    with pytest.raises(ValueError, match="expected"):
        trace(mlp(), off_gamma(mlp(), vectors()), "exact", generator=seeded(), blocks={"one": "z"})
