"""Small models and populations of the tests, and what is true of them by other means."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from verify.curvature import Labelled, Population, TraceEstimate, call_model
from verify.curvature.data import LogProb
from verify.curvature.likelihood import Likelihood
from verify.networks import Transformer, TransformerConfig

EPS = 2.0**-52


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled(model: nn.Module, seed: int = 1, scale: float = 0.5) -> nn.Module:
    """The model in float64 and evaluation mode, every parameter N(0, scale²), gains N(1, scale²)."""
    generator = seeded(seed)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            gain = float((parameter == 1).all())
            parameter.copy_(gain + scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def mlp() -> nn.Module:
    return filled(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), nn.LogSoftmax(-1)))


class Convolution(nn.Module):
    """A channel at a time, normalised in groups, whose double backward torch cannot batch."""

    def __init__(self) -> None:
        super().__init__()
        self.filter, self.norm, self.head = nn.Conv1d(1, 4, 2), nn.GroupNorm(2, 4), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.head(torch.tanh(self.norm(self.filter(x[:, None]))).flatten(1)), -1)


class Tied(nn.Module):
    """One matrix used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.second(torch.tanh(self.first(x))), -1)


class Drawn:
    """A population that does not say it is one."""

    def __init__(self, population: Population) -> None:
        self.population = population

    def draw(self, n: int, generator: torch.Generator) -> Labelled:
        return self.population.draw(n, generator)


class Fused(nn.Module):
    """Attention by torch's fused kernel, which has no second derivative and no rule for vmap."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention = nn.Embedding(4, 4), nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, contexts: Tensor) -> Tensor:
        x = self.embed(contexts + 1)
        return torch.log_softmax(self.head(self.attention(x, x, x, need_weights=False)[0][:, 0]), -1)


def vectors(n: int = 5, width: int = 3, seed: int = 2) -> Tensor:
    return torch.randn(n, width, generator=seeded(seed), dtype=torch.float64)


def transformer() -> Transformer:
    """A transformer of the house: parameters used without calling their modules, attention from primitives."""
    config = TransformerConfig(3, 3, width=4, layers=2, heads=2, mlp_ratio=2, activation="relu")
    network = filled(Transformer(config))
    assert isinstance(network, Transformer)
    return network


CONTEXTS = torch.tensor([[-1, 2, 0], [1, -1, 2], [0, 1, -1], [-1, 1, 1]])


def on_gamma(model: nn.Module, inputs: Tensor, log_prob: LogProb = call_model) -> Population:
    """The inputs, the first of them the likeliest, with the model's own conditionals."""
    prob = torch.arange(len(inputs), 0, -1, dtype=torch.float64)
    return Population(inputs, prob / prob.sum(), log_prob(model, inputs).detach().exp())


def off_gamma(model: nn.Module, inputs: Tensor, log_prob: LogProb = call_model) -> Population:
    """The same inputs with other conditionals, one of them certain."""
    own = on_gamma(model, inputs, log_prob)
    conditional = torch.softmax(torch.randn(own.conditional.shape, generator=seeded(3), dtype=torch.float64), -1)
    conditional[0] = torch.eye(conditional.shape[1])[0]
    return Population(inputs, own.prob, conditional)


def hessian_by_autograd(
    model: nn.Module, population: Population, log_prob: LogProb = call_model
) -> Float[Tensor, "parameter parameter"]:
    """H of −Σ_x π Σ_y p* log p_θ, by `torch.autograd.functional.hessian` of a function of one vector."""
    likelihood = Likelihood(model, log_prob)

    class AsModule(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: Tensor) -> Tensor:
            rows: Tensor = log_prob(self.model, inputs)
            return rows

    def loss(theta: Tensor) -> Tensor:
        named = dict(zip([f"model.{name}" for name in likelihood.parameters], likelihood.split(theta), strict=True))
        log_p = torch.func.functional_call(AsModule(), named, (population.inputs,))
        value: Tensor = -(population.prob @ (population.conditional * log_p).sum(-1))
        return value

    flat = likelihood.flat([value.detach() for value in likelihood.parameters.values()])
    found: Tensor = torch.autograd.functional.hessian(loss, flat)  # type: ignore[no-untyped-call]  # torch's stubs
    return found


def fisher_by_scores(
    model: nn.Module, population: Population, log_prob: LogProb = call_model
) -> Float[Tensor, "parameter parameter"]:
    """F = Σ_x π Σ_y p_θ s sᵀ, one score s at a time."""
    likelihood = Likelihood(model, log_prob)
    log_p = log_prob(model, population.inputs)
    total = torch.zeros(likelihood.n_parameters, likelihood.n_parameters, dtype=torch.float64)
    for x in range(len(log_p)):
        for y in range(log_p.shape[1]):
            parts: tuple[Tensor | None, ...] = torch.autograd.grad(
                log_p[x, y], list(likelihood.parameters.values()), retain_graph=True, allow_unused=True
            )
            score = likelihood.flat(parts)
            total += population.prob[x] * log_p[x, y].detach().exp() * torch.outer(score, score)
    return total


def by_tensor(model: nn.Module, diagonal: Tensor) -> dict[str, float]:
    """Sums of a diagonal over each parameter tensor."""
    likelihood = Likelihood(model)
    return dict(zip(likelihood.parameters, [float(part.sum()) for part in likelihood.split(diagonal)], strict=True))


def rounding(estimate: TraceEstimate, expected: float) -> float:
    """A sum of n terms of both signs by two orders of operations: a few hundred ε of what is added up."""
    return 512 * EPS * (abs(expected) + sum(abs(block.estimate) for block in estimate.blocks.values()))
