r"""tr H of the loss of any model with a likelihood: one entry for every method, each with an interval.

>>> import torch
>>> from torch import nn
>>> from verify.curvature.data import Population
>>> from verify.curvature.trace import fisher_gap, trace
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
>>> trace(model, on_gamma, "fisher", generator=generator, gap=True).not_hessian
False
>>> trace(model, on_gamma, relative_error=0.1, generator=generator).interval.method
'hall-t'

| method | number | derivatives | what is drawn |
|---|---|---|---|
| `exact` | tr H | second | contexts, unless the data are a `Population` |
| `fisher` | tr F | first | contexts and the model's labels; small-batch score norms |
| `fisher-per-sample` | tr F | first | the same; norms of single scores, most of them not formed |
| `gauss-newton` | tr F | first | contexts and signs in logit space; a finite sum on a `Population` |
| `hutchinson` | tr H | second | contexts, unless a `Population`, and signs |
| `hutch++` | tr H | second | the same |
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from verify.curvature.data import Batch, Data, LogProb, Population, call_model
from verify.curvature.estimate import FisherIsNotHessianWarning, Measures, TraceEstimate
from verify.curvature.fisher import gradients_of_scores, small_batch_fisher
from verify.curvature.gauss_newton import exact_fisher, gauss_newton
from verify.curvature.hutch_plus_plus import hutch_plus_plus
from verify.curvature.hutchinson import exact_trace, gradients_of_products, hutchinson
from verify.curvature.per_sample import PerSampleFisher
from verify.curvature.problem import Blocks, Problem, label_excess
from verify.curvature.products import canary
from verify.curvature.sampling import MAX_UNITS, Observe, Plan, Source, estimate_trace, finite_sum

EXACT_LIMIT = 5000
"""Parameters above which unit vectors are refused."""


@dataclass(frozen=True)
class Method:
    """A way to a trace: how it observes, at what cost, and with which sizes if none are given.

    Attributes:
        measures: which matrix.
        build: the observation for a problem, and its cost: gradient-equivalents of a number of probes on one example.
        batch_size: examples of a batch.
        probes: probes of a batch.
        second_order: whether it differentiates twice.
    """

    measures: Measures
    build: Callable[[Problem], tuple[Observe, Callable[[int], float]]]
    batch_size: int
    probes: int
    second_order: bool


def _each_unit_vector(problem: Problem) -> tuple[Observe, Callable[[int], float]]:
    def observe(problem: Problem, batch: Batch, probes: int, generator: torch.Generator) -> Tensor:
        return exact_trace(problem, batch)[None].expand(probes, -1)

    return observe, lambda probes: 1.0 + 2 * problem.n_parameters


def _per_sample(problem: Problem) -> tuple[Observe, Callable[[int], float]]:
    observe = PerSampleFisher(problem)
    return observe, observe.passes


def _hutch_plus_plus(problem: Problem) -> tuple[Observe, Callable[[int], float]]:
    return hutch_plus_plus, lambda probes: 1.0 + 2 * (probes + 2 * min(probes, problem.n_parameters))


METHODS: dict[str, Method] = {
    "exact": Method("hessian", _each_unit_vector, 32, 1, True),
    "fisher": Method("fisher", lambda _: (small_batch_fisher, gradients_of_scores), 8, 2, False),
    "fisher-per-sample": Method("fisher", _per_sample, 32, 2, False),
    "gauss-newton": Method("fisher", lambda _: (gauss_newton, gradients_of_scores), 8, 2, False),
    "hutchinson": Method("hessian", lambda _: (hutchinson, gradients_of_products), 32, 2, True),
    "hutch++": Method("hessian", _hutch_plus_plus, 32, 4, True),
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
    max_batches: int = MAX_UNITS,
    gap: bool = False,
) -> TraceEstimate:
    r"""Return tr H, or tr F that equals it on Γ *only*, for the parameters of `model` that require gradients.

    H = ∇²L, L(θ) = −E_x Σ_y p*(y|x) log p_θ(y|x) in nats (for targets alone, −E log p_θ(y|x)), x from `data`;
    F = E_x Σ_y p_θ ∇log p_θ ∇log p_θᵀ. Monte Carlo with a Hall interval over independent batches, or over probes
    where every context of a `Population` is taken; `exact` and `gauss-newton` on a `Population` are finite sums.

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
        probes: probes or draws of labels for each batch; None means the method's own. From 2 on the parts of the
            variance are told apart, as by default: a second draw of labels halves their part of the variance for 1.3
            to 1.5 of the time of a batch.
        blocks: name ↦ prefix, or prefixes, of parameter names; what is left over is the block "rest".
        max_batches: most batches that `relative_error` may take.
        gap: for the methods that give tr F, measure tr H − tr F as well, by `fisher_gap` with as many batches (two
            derivatives are needed), and warn with `FisherIsNotHessianWarning` where it is seen not to be 0. Where p*
            is known it is 0 on Γ to rounding, so that the warning is not a false alarm; from targets alone its
            interval misses 0 on Γ in a fraction 1 − level of runs.

    Returns:
        The estimate, with its `gap` if asked for. tr F is the same number with and without.

    Raises:
        ValueError: an unknown method, a gap of a method that gives tr H, too many parameters for `exact`, or what the
            data, the model and the sizes have wrong. SecondOrderError (of `verify.curvature.products`) where H or the
            gap is asked for and a second derivative is missing or wrong.
    """
    problem = Problem(model, log_prob)
    if method not in METHODS:
        raise ValueError(f"expected a method among {list(METHODS)}, got {method!r}")
    chosen = METHODS[method]
    if gap and chosen.measures == "hessian":
        raise ValueError(
            f"expected a method that gives tr F for gap=True, got {method!r}, which gives tr H; leave it out"
        )
    if method == "exact" and problem.n_parameters > EXACT_LIMIT:
        raise ValueError(
            f"expected at most {EXACT_LIMIT} parameters for method 'exact', which takes a product for each, got "
            f"{problem.n_parameters}; use 'fisher' near Γ, or 'hutchinson' anywhere"
        )
    size = chosen.batch_size if batch_size is None else batch_size
    observe, cost = chosen.build(problem)
    plan = Plan(size, chosen.probes if probes is None else probes, batches, relative_error, 1 - level, max_batches)
    if chosen.second_order:
        canary(problem, data.draw(size, generator), generator)
    if isinstance(data, Population) and method in {"exact", "gauss-newton"}:
        compute, passes = (
            (exact_trace, cost(1))
            if method == "exact"
            else (exact_fisher, gradients_of_scores(data.conditional.shape[-1]))
        )
        found = finite_sum(
            problem, data, compute, blocks, generator, method=method, measures=chosen.measures, passes=passes
        )
    else:
        found = estimate_trace(
            Source(problem, data, observe, whole=chosen.second_order and isinstance(data, Population)),
            plan,
            blocks,
            generator,
            method=method,
            measures=chosen.measures,
            passes=cost,
        )
    if not gap:
        return found
    difference = fisher_gap(
        model, data, log_prob=log_prob, generator=generator, level=level, batches=batches, blocks=blocks
    )
    found = replace(found, gap=difference)
    if found.not_hessian:
        warnings.warn(
            f"expected tr F to be tr H, got tr H − tr F = {difference.interval} beside tr F = {found.estimate:.6g}: "
            "the model's conditionals are not the data's; use method='hutchinson' for tr H",
            FisherIsNotHessianWarning,
            stacklevel=2,
        )
    return found


def fisher_gap(
    model: nn.Module,
    data: Data,
    *,
    log_prob: LogProb = call_model,
    generator: torch.Generator,
    relative_error: float | None = None,
    level: float = 0.95,
    batches: int = 64,
    batch_size: int = 32,
    probes: int = 2,
    blocks: Blocks | None = None,
    max_batches: int = MAX_UNITS,
) -> TraceEstimate:
    r"""Return tr H − tr F = −E_x Σ_y (p*(y|x) − p_θ(y|x)) tr ∇²log p_θ(y|x), zero on Γ. Monte Carlo.

    Hutchinson probes of `label_excess`, whose Hessian is H − F: no difference of two estimates, so that the spread
    vanishes with p* − p_θ. An interval without 0 shows that 'fisher' is not tr H here. Arguments and errors as
    in `trace`.
    """
    problem = Problem(model, log_prob)
    plan = Plan(batch_size, probes, batches, relative_error, 1 - level, max_batches)
    canary(problem, data.draw(batch_size, generator), generator)
    return estimate_trace(
        Source(problem, data, partial(hutchinson, loss=label_excess), isinstance(data, Population)),
        plan,
        blocks,
        generator,
        method="fisher-gap",
        measures="gap",
        passes=gradients_of_products,
    )
