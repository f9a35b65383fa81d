"""`trace`: finite sums against dense matrices, F = H on Γ, scales and stacks, blocks, seeds, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.verify.curvature.examples import (
    CONTEXTS,
    EPS,
    Convolution,
    Drawn,
    Tied,
    by_tensor,
    filled,
    fisher_by_scores,
    hessian_by_autograd,
    mlp,
    off_gamma,
    on_gamma,
    rounding,
    seeded,
    transformer,
    vectors,
)
from verify.curvature import METHODS, Data, Examples, Labelled, Population, softmax_of_model, trace
from verify.curvature.fisher import Generators, small_batch_fisher
from verify.curvature.likelihood import Likelihood
from verify.curvature.methods import EXACT_LIMIT
from verify.networks import Transformer
from verify.networks.rescaling import hidden_factors, mix_values, norm_factors, query_factors, rescale, value_factors
from verify.statistics import Interval

SAMPLED = [name for name in METHODS if name != "exact"]
POWERS = torch.tensor([3.0, 0.7, 1.5, 0.4, 2.2, 0.9, 1.1, 5.0], dtype=torch.float64)
SHEAR = torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=torch.float64).expand(2, 2, 2)
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "mlp": (mlp, vectors()),
    "layer norm": (
        lambda: filled(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 3), nn.LogSoftmax(-1))),
        vectors(),
    ),
    "group norm": (lambda: filled(Convolution()), vectors()),
    "tied": (lambda: filled(Tied()), vectors()),
    "transformer": (transformer, CONTEXTS),
}


def theta_of(model: nn.Module) -> Mapping[str, Tensor]:
    return dict(model.named_parameters())


@pytest.mark.parametrize("name", MODELS)
def test_cross_library_exact_is_the_trace_of_the_hessian_of_autograd(name: str) -> None:
    make, inputs = MODELS[name]
    model = make()
    population = off_gamma(model, inputs)
    H = hessian_by_autograd(model, population)
    blocks = {tensor: tensor for tensor in Likelihood(model).parameters}
    found = trace(model, population, "exact", generator=seeded(), blocks=blocks)
    assert found.estimate == pytest.approx(float(H.trace()), abs=rounding(found, float(H.trace())))
    for tensor, value in by_tensor(model, H.diagonal()).items():
        assert found.blocks[tensor].estimate == pytest.approx(value, abs=rounding(found, value))


@pytest.mark.parametrize("name", MODELS)
def test_closed_form_f_is_h_on_gamma_for_every_finite_sum(name: str) -> None:
    make, inputs = MODELS[name]
    model = make()
    population = on_gamma(model, inputs)
    F = fisher_by_scores(model, population)
    hessian = trace(model, population, "exact", generator=seeded())
    fisher = trace(model, population, "gauss-newton", generator=seeded())
    scaled = trace(model, population, "gauss-newton", generator=seeded(), scale=theta_of(model))
    assert [found.measures for found in (hessian, fisher, scaled)] == ["hessian", "fisher", "scaled fisher"]
    theta = Likelihood(model).flat([p.detach() for p in model.parameters()])
    for found, expected in ((hessian, F.trace()), (fisher, F.trace()), (scaled, theta.square() @ F.diagonal())):
        assert found.estimate == pytest.approx(float(expected), rel=1024 * EPS)
    assert fisher.low <= hessian.estimate <= fisher.high


def test_closed_form_softmax_regression() -> None:
    model = filled(nn.Linear(3, 4, bias=False))
    population = off_gamma(model, vectors(), softmax_of_model)
    p = softmax_of_model(model, vectors()).detach().exp()
    expected = float(population.prob @ (vectors().square().sum(-1) * (1 - p.square().sum(-1))))
    for method in ("exact", "gauss-newton"):  # the logits are linear: F = H everywhere
        found = trace(model, population, method, log_prob=softmax_of_model, generator=seeded())
        assert found.estimate == pytest.approx(expected, rel=256 * EPS)


@pytest.mark.parametrize(
    "scaled",
    [
        lambda model: rescale(model, norm_factors(model, "blocks.0.attention_norm", POWERS[:4])),
        lambda model: rescale(model, query_factors(model, 1, POWERS[:2])),
        lambda model: rescale(model, value_factors(model, 0, POWERS[:2])),
        lambda model: rescale(model, hidden_factors(model, 0, POWERS)),
    ],
)
def test_closed_form_scaled_by_theta_rescalings_change_nothing(scaled: Callable[[Transformer], Transformer]) -> None:
    model = transformer()
    population, other = on_gamma(model, CONTEXTS), scaled(model)
    for data, method in ((population, "gauss-newton"), (Drawn(population), "fisher")):
        kept = [trace(m, data, method, generator=seeded(), scale=theta_of(m), batches=32) for m in (model, other)]
        # two roundings for each factor, and those on the path of a network rescaled by up to 5
        assert kept[1].estimate == pytest.approx(kept[0].estimate, rel=4096 * EPS)
        assert kept[1].low == pytest.approx(kept[0].low, rel=4096 * EPS)
        first, second = (trace(m, data, method, generator=seeded(), batches=32).estimate for m in (model, other))
        assert abs(second / first - 1) > 1e-6


def test_property_what_is_no_rescaling_changes_the_trace_scaled_by_theta() -> None:
    model = transformer()
    population = on_gamma(model, CONTEXTS)
    first, second = (
        trace(m, population, "gauss-newton", generator=seeded(), scale=theta_of(m)).estimate
        for m in (model, mix_values(model, 0, SHEAR))
    )
    assert abs(second / first - 1) > 1e-6


def test_closed_form_members_of_a_stack_are_estimated_as_if_alone() -> None:
    config = transformer().config
    stack = filled(Transformer(config, (2,)))
    assert isinstance(stack, Transformer)
    inputs = torch.stack([CONTEXTS, CONTEXTS.flip(0)])

    def found(likelihood: Likelihood, inputs: Tensor, generator: Generators) -> Tensor:
        return small_batch_fisher(likelihood, Labelled(inputs), 3, generator, directions="signs")

    together = found(Likelihood(stack, stack=(2,)), inputs, [seeded(5), seeded(6)])
    for k in range(2):
        alone = found(Likelihood(stack.member(k)), inputs[k], seeded(5 + k))
        torch.testing.assert_close(together[:, k], alone, rtol=256 * EPS, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_property_blocks_sum_to_the_whole(method: str) -> None:
    blocks = {"in": "0.", "out": ("2.weight",)}
    population = off_gamma(mlp(), vectors())
    for data in (population, Drawn(population))[: 1 if method == "exact" else 2]:
        found = trace(mlp(), data, method, generator=seeded(), batches=32, blocks=blocks)
        assert list(found.blocks) == ["in", "out", "rest"]
        total = sum(block.estimate for block in found.blocks.values())
        assert found.estimate == pytest.approx(total, abs=rounding(found, total))
        plain = trace(mlp(), data, method, generator=seeded(), batches=32)
        assert plain.blocks == {}
        assert plain.interval == found.interval


@pytest.mark.parametrize("method", METHODS)
def test_property_a_shared_parameter_is_counted_once(method: str) -> None:
    model = filled(Tied())
    population = on_gamma(model, vectors())
    expected = float(hessian_by_autograd(model, population).trace())
    found = trace(model, population, method, generator=seeded(), batches=64, level=1 - 1e-6)
    assert found.low <= expected <= found.high
    assert len(Likelihood(model).parameters) == 3


def test_property_frozen_parameters_are_left_out() -> None:
    model = mlp()
    population = on_gamma(model, vectors())
    whole = trace(model, population, "exact", generator=seeded(), blocks={"weight": "0.weight"})
    assert isinstance(model, nn.Sequential)
    for parameter in (model[0].bias, model[2].weight, model[2].bias):
        parameter.requires_grad_(False)
    for method in ("exact", "gauss-newton"):
        part = trace(model, population, method, generator=seeded())
        assert part.estimate == pytest.approx(whole.blocks["weight"].estimate, rel=512 * EPS)


def test_property_inputs_of_probability_zero_are_not_taken() -> None:
    population = on_gamma(mlp(), vectors())
    prob = torch.tensor([0.5, 0.0, 0.25, 0.25, 0.0], dtype=torch.float64)
    some = Population(vectors(), prob, population.conditional)
    used = Population(vectors()[prob > 0], prob[prob > 0], population.conditional[prob > 0])
    for method in ("exact", "gauss-newton", "hutchinson"):
        found = [trace(mlp(), data, method, generator=seeded()) for data in (some, used)]
        assert found[0] == found[1]  # seconds are not compared
        assert found[0].batch_size == 3


@pytest.mark.parametrize("method", SAMPLED)
def test_property_the_same_seed_gives_the_same_estimate(method: str) -> None:
    data = Drawn(on_gamma(mlp(), vectors()))
    first, second, other = (
        trace(mlp(), data, method, generator=seeded(seed), batches=33, batch_size=2, probes=3) for seed in (1, 1, 2)
    )
    assert first == second
    assert first.estimate != other.estimate
    assert (first.method, first.seed, first.dtype, first.device) == (method, 1, "float64", "cpu")
    assert (first.batches, first.batch_size, first.probes, first.pilot) == (33, 2, 3, 0)
    assert first.seconds > 0


def test_property_float32_agrees_to_its_precision() -> None:
    population = on_gamma(mlp(), vectors())
    single = Population(vectors().float(), population.prob.float(), population.conditional.float())
    for method in ("exact", "gauss-newton"):
        double = trace(mlp(), population, method, generator=seeded())
        found = trace(mlp().float(), single, method, generator=seeded())
        assert found.dtype == "float32"
        assert found.estimate == pytest.approx(double.estimate, rel=256 * 2.0**-23)


def test_closed_form_the_estimate_says_what_it_is() -> None:
    model, population = mlp(), on_gamma(mlp(), vectors())
    hessian = trace(model, population, "exact", generator=seeded())
    fisher = trace(model, population, "fisher", generator=seeded())
    scaled = trace(model, population, "fisher", generator=seeded(), scale=theta_of(model))
    assert str(hessian).endswith("[exact: tr H]")
    assert "tr F; equals tr H only where the model's conditionals are the data's, on Γ" in repr(fisher)
    assert "tr DFD; equals tr DHD only where" in str(scaled)
    assert hessian._repr_latex_().startswith(r"$\operatorname{tr}H=")
    assert fisher._repr_latex_().startswith(r"$\operatorname{tr}F=")
    assert fisher.relative_error == (fisher.high - fisher.low) / 2 / fisher.estimate


def test_closed_form_relative_error_of_zero() -> None:
    still = nn.Linear(3, 1).double()  # one token: log p = 0
    certain = trace(still, Examples(vectors()), "fisher", log_prob=softmax_of_model, generator=seeded(), batches=32)
    assert (certain.estimate, certain.relative_error) == (0.0, 0.0)
    assert replace(certain, interval=Interval(0.0, -1.0, 1.0, 0.05, 32, "hall-t")).relative_error == math.inf


def test_property_anything_that_draws_is_data() -> None:
    assert isinstance(Drawn(on_gamma(mlp(), vectors())), Data)
    assert not isinstance(vectors(), Data)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("hutch", {}, r"expected a method among \['fisher', .*got 'hutch'"),
        ("exact", {}, "expected a Population for method 'exact', a finite sum, got Drawn; use 'hutchinson'"),
        ("hutchinson", {"scale": {}}, r"among \['fisher', 'gauss-newton'\] for a scale, got 'hutchinson'"),
        ("fisher", {"scale": {"3.weight": vectors()}}, r"parameters of the model, got \['3.weight'\]"),
        *(
            (method, arguments, message)
            for method in ("fisher", "hutchinson")
            for arguments, message in (
                ({"batches": 31}, "at least 32 independent batches"),
                ({"batch_size": 0}, "batch_size >= 1"),
                ({"probes": 0}, "probes >= 1"),
                ({"level": 1.0}, "alpha"),
                ({"relative_error": 0.0}, "expected relative_error > 0"),
                ({"relative_error": 1e-4, "max_batches": 1000}, "within max_batches = 1000, got a pilot mean of"),
            )
        ),
    ],
)
def test_what_is_refused(method: str, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trace(mlp(), Drawn(on_gamma(mlp(), vectors())), method, generator=seeded(), **arguments)  # type: ignore[arg-type]


def test_too_many_parameters_for_unit_vectors() -> None:
    model = nn.Linear(EXACT_LIMIT, 1)
    with pytest.raises(ValueError, match=f"at most {EXACT_LIMIT} parameters .* got {EXACT_LIMIT + 1}; use 'fisher'"):
        trace(model, Examples(torch.zeros(1, EXACT_LIMIT)), "exact", generator=seeded())


def test_inputs_alone_have_no_hessian() -> None:
    with pytest.raises(ValueError, match="got inputs alone; the Hessian of the loss needs labels"):
        trace(mlp(), Examples(vectors()), "hutchinson", generator=seeded())


def test_a_weighted_example_makes_one_row() -> None:
    model = mlp()
    doubled = Population(vectors(), torch.full((5,), 0.2, dtype=torch.float64), on_gamma(model, vectors()).conditional)
    with pytest.raises(ValueError, match="one row for each weighted input, got 2"):
        trace(model, doubled, "gauss-newton", log_prob=lambda m, x: m(x).repeat_interleave(2, 0), generator=seeded())
