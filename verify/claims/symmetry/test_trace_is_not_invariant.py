"""Rescale transformers exactly, and compare the trace they then have with the closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from synthetic.hmm import block_hmm
from theory.claims import find
from verify.curvature import LanguageData, Population
from verify.environment import Profile
from verify.networks import Transformer, TransformerConfig
from verify.networks.rescaling import (
    Factors,
    hidden_factors,
    mix_values,
    norm_factors,
    query_factors,
    rescale,
    value_factors,
)
from verify.statistics import Interval, enclosure
from verify.trial import BUDGET, Design, Outlook, Trial

CLAIM = "trace-is-not-invariant"
OUTLOOK = Outlook(
    finding="Rescaling a network changes its flatness at will, and its function not at all.",
)
TOKENS, LENGTH, WIDTH, HEADS = 4, 3, 4, 2
INSTANCES: dict[Profile, int] = {"quick": 6, "default": 24, "full": 240}
ERROR = 1e-9
"""Bound of the relative rounding error of a ratio of two traces."""

Scaling = Callable[[Transformer, float], Factors]


def _norm(name: str) -> Scaling:
    return lambda model, c: norm_factors(model, name, torch.full((WIDTH,), c, dtype=torch.float64))


SCALINGS: dict[str, Scaling] = {
    "gain of attention": _norm("blocks.0.attention_norm"),
    "gain of mlp": _norm("blocks.1.mlp_norm"),
    "final gain": _norm("norm"),
    "queries": lambda model, c: query_factors(model, 1, torch.full((HEADS,), c, dtype=torch.float64)),
    "values": lambda model, c: value_factors(model, 0, torch.full((HEADS,), c, dtype=torch.float64)),
    "hidden units": lambda model, c: hidden_factors(
        model, 0, torch.full((model.config.mlp_width,), c, dtype=torch.float64)
    ),
}


def designs(profile: Profile) -> tuple[Design, ...]:
    """Return the designs: the trace follows the closed form, and Σ θ² F does not move."""
    rounding = (
        "Both sides are finite sums over all contexts, tokens and parameters in float64, of non-negative terms, and "
        "a network is never far from its rescaled copy. A gradient entry passes fewer than 1000 roundings, so 1e-9 "
        "leaves a factor of 1000 for cancellation; the property tests of the rescalings bound it more closely. "
    )
    alpha = BUDGET.alpha(CLAIM, 2)
    return tuple(
        Design(
            claim=CLAIM,
            prediction=prediction,
            statistic=statistic,
            bound="enclosure",
            spread=ERROR,
            instances=INSTANCES[profile],
            justification=rounding,
            target=1.0,
            delta=1e-6,
            delta_refute=1e-6,
            alpha=alpha,
            power=0.99,
            n=1,
        )
        for prediction, statistic in (
            ("tr F(θ_c) = R + P/c² + Qc² for six symmetries of a transformer", "tr F(θ_c) ÷ (R + P/c² + Q c²)"),
            ("Σ θ_i² F_ii is the same at θ_c and at θ", "Σ θ² F at θ_c ÷ Σ θ² F at θ"),
        )
    )


def fisher_diagonal(model: Transformer, population: Population) -> dict[str, Tensor]:
    """Return F_ii = Σ_x π Σ_y p_θ (∂ log p_θ/∂θ_i)² by parameter, of the parameters' shapes. Exact."""
    parameters = {name: value.detach() for name, value in model.named_parameters()}

    def log_prob(own: dict[str, Tensor]) -> Tensor:
        rows: Tensor = torch.func.functional_call(model, own, (population.inputs,))
        return rows

    weight = population.prob[:, None] * log_prob(parameters).exp()
    score: Mapping[str, Tensor] = torch.func.jacrev(log_prob)(parameters)
    return {name: torch.einsum("xy,xy...->...", weight, part.square()) for name, part in score.items()}


def trace_of(diagonal: Mapping[str, Tensor]) -> float:
    """Return tr F."""
    return float(sum(part.sum() for part in diagonal.values()))


def weighted(model: Transformer, diagonal: Mapping[str, Tensor]) -> float:
    """Return Σ_i θ_i² F_ii."""
    return float(sum((model.get_parameter(name).detach().square() * part).sum() for name, part in diagonal.items()))


@dataclass(frozen=True)
class Instance:
    """A language, a network drawn at random, one of its symmetries and a factor."""

    seed: int
    scaling: str
    c: float
    activation: str = "relu"

    @property
    def parameters(self) -> dict[str, float | int | str]:
        return {"seed": self.seed, "scaling": self.scaling, "c": self.c, "activation": self.activation}

    def network(self) -> Transformer:
        """A transformer away from its initial point, so that gains and biases matter."""
        config = TransformerConfig(
            TOKENS, LENGTH, width=WIDTH, layers=2, heads=HEADS, mlp_ratio=2, activation=self.activation
        )
        generator = torch.Generator().manual_seed(self.seed)
        model = Transformer(config, (), [generator], torch.float64)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        return model

    def population(self) -> Population:
        """All contexts of a random hidden Markov language."""
        generator = torch.Generator().manual_seed(self.seed)
        return LanguageData(block_hmm(generator, 4, TOKENS, LENGTH, blocks=2)).population()

    def predict(self, diagonal: Mapping[str, Float[Tensor, "..."]], factors: Factors, c: float | None = None) -> float:
        """The closed form at the block traces of θ: P where D = c, Q where D = 1/c, R the rest."""
        p = q = rest = 0.0
        for name, part in diagonal.items():
            factor = factors.get(name, torch.ones((), dtype=part.dtype)).expand(part.shape)
            p += float(part[factor == self.c].sum())
            q += float(part[factor == 1 / self.c].sum())
            rest += float(part[factor == 1].sum())
        return find(CLAIM).predict(rest=rest, p=p, q=q, c=self.c if c is None else c)


def draw(generator: np.random.Generator) -> Instance:
    """Draw a symmetry and a factor between 1.25 and 4, or its inverse."""
    scaling = str(generator.choice(list(SCALINGS)))
    c = float(np.exp(generator.uniform(math.log(1.25), math.log(4.0)) * generator.choice([-1, 1])))
    return Instance(int(generator.integers(2**31)), scaling, c)


def ratio(value: float, other: float) -> Interval:
    """Enclose value/other."""
    return enclosure(value / other, ERROR * value / other)


def test_rescaled_traces(trial: Trial) -> None:
    moved, kept = trial.declare(designs(trial.profile))
    trial.plan(moved.instances + 1)
    for i in range(moved.instances):
        instance = draw(trial.rng("instance", i))
        model, population = instance.network(), instance.population()
        factors = SCALINGS[instance.scaling](model, instance.c)
        scaled = rescale(model, factors)
        before, after = fisher_diagonal(model, population), fisher_diagonal(scaled, population)
        predicted = instance.predict(before, factors)
        trial.decide(moved, ratio(trace_of(after), predicted), parameters=instance.parameters, prediction=predicted)
        invariance = ratio(weighted(scaled, after), weighted(model, before))
        trial.decide(kept, invariance, parameters=instance.parameters, prediction=None)
        trial.advance()
    _controls(trial, moved, kept)


def _controls(trial: Trial, moved: Design, kept: Design) -> None:
    seed = int(trial.rng("control").integers(2**31))
    instance = Instance(seed, "queries", 2.0)
    model, population = instance.network(), instance.population()
    before = fisher_diagonal(model, population)
    factors = query_factors(model, 1, torch.full((HEADS,), 2.0, dtype=torch.float64))
    predicted = instance.predict(before, factors)
    one_sided = {name: torch.where(factor < 1, torch.ones_like(factor), factor) for name, factor in factors.items()}
    broken = fisher_diagonal(rescale(model, one_sided), population)
    exact = fisher_diagonal(rescale(model, factors), population)
    trial.control(
        "keys are left alone",
        "queries times 2 with the keys as they were: another function",
        moved,
        ratio(trace_of(broken), predicted),
        parameters=instance.parameters,
        prediction=predicted,
    )
    wrong = instance.predict(before, factors, math.sqrt(2.0))
    trial.control(
        "c in place of c²",
        "the formula is asked for the square root of the factor",
        moved,
        ratio(trace_of(exact), wrong),
        parameters=instance.parameters,
        prediction=wrong,
    )

    smooth = Instance(seed, "hidden units", 2.0, "gelu")
    model = smooth.network()
    factors = {
        "blocks.0.hidden.weight": torch.tensor(2.0, dtype=torch.float64),
        "blocks.0.hidden.bias": torch.tensor(2.0, dtype=torch.float64),
        "blocks.0.output.weight": torch.tensor(0.5, dtype=torch.float64),
    }
    predicted = smooth.predict(fisher_diagonal(model, population), factors)
    after = fisher_diagonal(rescale(model, factors), population)
    trial.control(
        "gelu units",
        "gelu(2x) is not 2 gelu(x): the scaled network is another function",
        moved,
        ratio(trace_of(after), predicted),
        parameters=smooth.parameters,
        prediction=predicted,
    )

    turned = Instance(seed, "values", 1.0)
    model = turned.network()
    shear = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64).expand(HEADS, -1, -1)
    mixed = mix_values(model, 0, shear)
    trial.control(
        "values are sheared",
        "the same function, but parameters are mixed and not scaled one by one",
        kept,
        ratio(weighted(mixed, fisher_diagonal(mixed, population)), weighted(model, fisher_diagonal(model, population))),
        parameters=turned.parameters,
    )
    trial.advance()


blocks = st.floats(0, 1e3)
positive = st.floats(0.1, 10)


@given(rest=blocks, p=positive, q=positive, c=positive)
def test_property_no_scale_goes_below_the_least_trace_and_one_attains_it(
    rest: float, p: float, q: float, c: float
) -> None:
    claim = find(CLAIM)
    least = claim.predict("least", rest=rest, p=p, q=q)
    slack = 64 * np.finfo(np.float64).eps * (least + 1)
    assert claim.predict(rest=rest, p=p, q=q, c=c) >= least - slack
    assert abs(claim.predict(rest=rest, p=p, q=q, c=(p / q) ** 0.25) - least) <= slack


@given(rest=blocks, p=positive, q=positive, bound=st.floats(1, 1e6))
def test_property_some_scale_exceeds_any_bound(rest: float, p: float, q: float, bound: float) -> None:
    value = find(CLAIM).predict(rest=rest, p=p, q=q, c=math.sqrt(p / bound))
    assert value >= bound * (1 - 64 * np.finfo(np.float64).eps)
