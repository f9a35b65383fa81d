r"""tr H or tr F of any model with a likelihood: one entry for every method, each with an interval.

>>> import torch
>>> from torch import nn
>>> from verify.curvature import Population, trace
>>> generator = torch.Generator().manual_seed(0)
>>> x = torch.randn(6, 3, generator=generator, dtype=torch.float64)
>>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), nn.LogSoftmax(-1)).double()
>>> on_gamma = Population(x, torch.full((6,), 1 / 6, dtype=torch.float64), model(x).detach().exp())
>>> hessian = trace(model, on_gamma, "exact", generator=generator)
>>> fisher = trace(model, on_gamma, "gauss-newton", generator=generator)
>>> abs(fisher.estimate / hessian.estimate - 1) < 1e-12
True
>>> str(fisher).split("[gauss-newton: ")[1]
"tr F; equals tr H only where the model's conditionals are the data's, on Γ]"
>>> trace(model, on_gamma, relative_error=0.1, generator=generator).interval.method
'hall-t'

| method | number | derivatives | what is drawn |
|---|---|---|---|
| `fisher` | tr F | first | contexts and the model's labels; scores of small batches |
| `fisher-per-sample` | tr F | first | the same; norms of single scores, most of them not formed |
| `gauss-newton` | tr F | first | contexts and signs in logit space; a finite sum on a `Population` |
| `hutchinson` | tr H | second | contexts, unless a `Population`, and signs |
| `exact` | tr H | second | nothing: a finite sum on a `Population` |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from verify.curvature.data import Data, LogProb, Population, call_model
from verify.curvature.estimate import Measures, TraceEstimate
from verify.curvature.fisher import exact_fisher, small_batch_fisher
from verify.curvature.hutchinson import exact_trace, hutchinson
from verify.curvature.likelihood import Blocks, Likelihood
from verify.curvature.per_sample import PerSampleFisher
from verify.curvature.products import canary
from verify.curvature.sampling import MAX_UNITS, Observe, Sampling, Source, estimate_trace, finite_sum

EXACT_LIMIT = 5000
"""Parameters above which unit vectors are refused."""

Scale = Mapping[str, Tensor]
"""Name of a parameter ↦ D, of its shape; parameters without one keep 1."""


@dataclass(frozen=True)
class Method:
    """A way to a trace, and the sizes that it takes if none are given.

    Attributes:
        measures: which matrix.
        build: the observation for a likelihood and D; None for a finite sum alone.
        batch_size: examples of a batch.
        probes: probes of a batch.
        scales: whether it takes a scale.
    """

    measures: Measures
    build: Callable[[Likelihood, list[Tensor] | None], Observe] | None
    batch_size: int
    probes: int = 2
    scales: bool = False

    @property
    def second_order(self) -> bool:
        return self.measures == "hessian"


METHODS: dict[str, Method] = {
    "fisher": Method("fisher", lambda _, scale: partial(small_batch_fisher, scale=scale), 8, scales=True),
    "fisher-per-sample": Method("fisher", lambda likelihood, _: PerSampleFisher(likelihood), 32),
    "gauss-newton": Method(
        "fisher", lambda _, scale: partial(small_batch_fisher, directions="signs", scale=scale), 8, scales=True
    ),
    "hutchinson": Method("hessian", lambda *_: hutchinson, 32),
    "exact": Method("hessian", None, 32),
}


def trace(
    model: nn.Module,
    data: Data,
    method: str = "fisher",
    *,
    log_prob: LogProb = call_model,
    generator: torch.Generator,
    relative_error: float | None = None,
    level: float = 0.95,
    batches: int = 64,
    batch_size: int | None = None,
    probes: int | None = None,
    blocks: Blocks | None = None,
    scale: Scale | None = None,
    max_batches: int = MAX_UNITS,
) -> TraceEstimate:
    r"""Return tr H, or tr F that equals it on Γ *only*, for the parameters of `model` that require gradients.

    H = ∇²L, L(θ) = −E_x Σ_y p*(y|x) log p_θ(y|x) in nats (for targets alone, −E log p_θ(y|x)), x from `data`;
    F = E_x Σ_y p_θ ∇log p_θ ∇log p_θᵀ. Monte Carlo with a Hall interval over independent batches, or over probes
    where every context of a `Population` is taken; `exact` and `gauss-newton` on a `Population` are finite sums.

    With `scale`, tr DFD = Σ_i D_i² F_ii for a diagonal D. D = θ gives Σ_i θ_i² F_ii, which rescalings between layers
    leave alone where they change tr F: if θ ↦ (cθ_1, θ_2/c) leaves p_θ alone, F_ii of the first part falls by c² and of
    the second rises by c². Source: ours; relative flatness (Petzka et al. 2021, arXiv 2001.00939) and Fisher–Rao norms
    (Liang et al. 2019, arXiv 1711.01530) are of the same kind.

    With `relative_error`, a pilot of `batches` decides how many fresh batches make the interval's half width that
    fraction of the trace; the pilot is not pooled, so that stopping does not touch coverage. What was reached is
    `relative_error` of the result, and is above what was asked for in about one run in 20,
    in more of them where units are very skewed or the pilot is small: see `units_needed`.

    Args:
        model: any module; dropout and batch normalisation in evaluation mode.
        data: where contexts come from.
        method: a key of `METHODS`, see the table of this module.
        log_prob: the likelihood.
        generator: source of contexts, labels and probes.
        relative_error: wanted half width as a fraction of the trace.
        level: 1 − α of the interval.
        batches: independent batches of the interval, or of the pilot; at least 32. Probes where the whole
            population is taken.
        batch_size: examples of a batch; None means the method's own, 8 or 32.
        probes: probes or draws of labels for each batch; None means 2. A second draw of labels halves their part of
            the variance for 1.3 to 1.5 of the time of a batch.
        blocks: name ↦ prefix, or prefixes, of parameter names; what is left over is the block "rest".
        scale: D by name of parameter, for `fisher` and `gauss-newton`; dict(model.named_parameters()) for D = θ.
        max_batches: most batches that `relative_error` may take.

    Raises:
        ValueError: an unknown method, a scale for a method or a parameter that has none, `exact` without a population
            or for too many parameters, or what the data, the model and the sizes have wrong. SecondOrderError where H
            is asked for and a second derivative is missing or wrong.
    """
    likelihood = Likelihood(model, log_prob)
    if method not in METHODS:
        raise ValueError(f"expected a method among {list(METHODS)}, got {method!r}")
    chosen = METHODS[method]
    if method == "exact" and likelihood.n_parameters > EXACT_LIMIT:
        raise ValueError(
            f"expected at most {EXACT_LIMIT} parameters for method 'exact', which takes a product for each, got "
            f"{likelihood.n_parameters}; use 'fisher' near Γ, or 'hutchinson' anywhere"
        )
    size = chosen.batch_size if batch_size is None else batch_size
    sampling = Sampling(
        size, chosen.probes if probes is None else probes, batches, relative_error, 1 - level, max_batches
    )
    factors = _factors(likelihood, method, scale)
    measures: Measures = chosen.measures if factors is None else "scaled fisher"
    if chosen.second_order:
        canary(likelihood, data.draw(size, generator), generator)
    if isinstance(data, Population) and method in {"exact", "gauss-newton"}:
        compute = exact_trace if method == "exact" else partial(exact_fisher, scale=factors)
        return finite_sum(likelihood, data, compute, blocks, generator, method=method, measures=measures)
    if chosen.build is None:
        raise ValueError(
            f"expected a Population for method {method!r}, a finite sum, got {type(data).__name__}; use 'hutchinson'"
        )
    whole = chosen.second_order and isinstance(data, Population)
    source = Source(likelihood, data, chosen.build(likelihood, factors), whole)
    return estimate_trace(source, sampling, blocks, generator, method=method, measures=measures)


def _factors(likelihood: Likelihood, method: str, scale: Scale | None) -> list[Tensor] | None:
    """Return D for each parameter in order."""
    if scale is None:
        return None
    if not METHODS[method].scales:
        able = [name for name, each in METHODS.items() if each.scales]
        raise ValueError(f"expected a method among {able} for a scale, got {method!r}")
    unknown = [name for name in scale if name not in likelihood.parameters]
    if unknown:
        raise ValueError(f"expected scales of parameters of the model, got {unknown[:3]}; name them as it does")
    return [
        scale[name].detach() if name in scale else torch.ones_like(value)
        for name, value in likelihood.parameters.items()
    ]
