r"""tr F from the score norm of every example, without forming a gradient.

A linear layer y_t = W a_t + b with g_t = ∂log p/∂y_t has ∂log p/∂W = Σ_t g_t a_tᵀ, whose squared norm is
Σ_{tt'} (g_t·g_t')(a_t·a_t') (Goodfellow 2015, arXiv 1510.01799; Li et al. 2021, arXiv 2110.05679, for several
positions). So the gradients at the layers' outputs suffice: weights' gradients are neither formed nor averaged over
a batch, whose spread the small-batch estimate has on top of that of examples. Linear, Embedding, LayerNorm and
RMSNorm layers have such rules; the scores of every other parameter are formed (`verify.curvature.per_example`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from verify.curvature.data import Batch, Inputs, n_examples, select
from verify.curvature.fisher import draw_directions
from verify.curvature.per_example import looped_norms, mapped_norms
from verify.curvature.problem import Problem

Positions = Float[Tensor, "example position feature"]


def _linear_weight(layer: nn.Module, a: Tensor, g: Tensor) -> Tensor:
    if a.shape[1] * (a.shape[2] + g.shape[2]) < a.shape[2] * g.shape[2]:
        return ((g @ g.mT) * (a @ a.mT)).sum((1, 2))
    return (g.mT @ a).square().sum((1, 2))


def _bias(layer: nn.Module, a: Tensor, g: Tensor) -> Tensor:
    return g.sum(1).square().sum(-1)


def _embedding_weight(layer: nn.Module, a: Tensor, g: Tensor) -> Tensor:
    tokens = a[..., 0]
    same = tokens[:, :, None] == tokens[:, None, :]
    assert isinstance(layer, nn.Embedding)
    if layer.padding_idx is not None:
        same = same & (tokens != layer.padding_idx)[:, :, None]
    return ((g @ g.mT) * same).sum((1, 2))


def _norm_gain(layer: nn.Module, a: Tensor, g: Tensor) -> Tensor:
    assert isinstance(layer, nn.LayerNorm | nn.RMSNorm)
    if isinstance(layer, nn.LayerNorm):
        unit = nn.functional.layer_norm(a, layer.normalized_shape, eps=layer.eps)
    else:
        unit = nn.functional.rms_norm(a, tuple(layer.normalized_shape), eps=layer.eps)
    return (g * unit).sum(1).square().sum(-1)


_RULES: dict[type[nn.Module], dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]]] = {
    nn.Linear: {"weight": _linear_weight, "bias": _bias},
    nn.Embedding: {"weight": _embedding_weight},
    nn.LayerNorm: {"weight": _norm_gain, "bias": _bias},
    nn.RMSNorm: {"weight": _norm_gain},
}


class PerSampleFisher:
    """Estimates of tr F of each parameter tensor; the layers that have a rule are found by trial on the first batch.

    A parameter is done by its layer's rule if the layer is called once, with the example as the leading axis, and
    nothing else uses it: seen by comparing, on the first two examples, the norms with those of explicit scores. The
    rest is done by explicit scores: at once if vmap gives those of the two examples, otherwise one by one.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.names = list(problem.parameters)
        self.by_rule: frozenset[str] | None = None
        self.mapped = True
        seen: dict[int, str] = {id(value): name for name, value in problem.parameters.items()}
        self._owned: dict[nn.Module, dict[str, str]] = {}
        for module in problem.model.modules():
            rules = _RULES.get(type(module), {})
            if isinstance(module, nn.LayerNorm | nn.RMSNorm) and len(module.normalized_shape) != 1:
                continue
            own = {kind: seen[id(value)] for kind in rules if id(value := getattr(module, kind, None)) in seen}
            if own:
                self._owned[module] = own

    def __call__(
        self, problem: Problem, batch: Batch, probes: int, generator: torch.Generator
    ) -> Float[Tensor, "probe tensor"]:
        """Return `probes` estimates on one batch: the mean of ‖s_b‖² over its examples."""
        if self.by_rule is None:
            self._try(batch.inputs, generator)
        calls, log_p = self._forward(batch.inputs, self.by_rule)
        v = torch.stack([draw_directions(log_p.detach(), generator, "labels") for _ in range(probes)])
        found = {name: norms.sum(-1).cpu() for name, norms in _by_rule(calls, log_p, v).items()}
        rest = [name for name in self.names if name not in found]
        if rest:
            found |= dict(zip(rest, self._explicit(rest, batch.inputs, log_p, v).sum(1).unbind(-1), strict=True))
        return torch.stack([found[name] for name in self.names], dim=-1) / len(log_p)

    def passes(self, probes: int) -> float:
        """Return gradient-equivalents of the probes on one example, once the first batch has been seen."""
        by_rule = self.by_rule or frozenset()
        rules = 1 / 3 + (1 / 3 * probes if by_rule else 0)  # forward, and backward to activations alone
        return rules + (1 / 3 + 2 / 3 * probes if len(by_rule) < len(self.names) else 0)

    def _forward(self, inputs: Inputs, names: frozenset[str] | None) -> tuple[list[_Call], Tensor]:
        """Run the model with hooks on; names None tries every layer."""
        calls: list[_Call] = []
        handles: list[RemovableHandle] = []
        for module, own in self._owned.items():
            kept = {kind: name for kind, name in own.items() if names is None or name in names}
            if kept:
                handles.append(module.register_forward_hook(partial(_record, calls, kept)))
        try:
            log_p = self.problem.rows(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return calls, log_p

    def _explicit(
        self, names: list[str], inputs: Inputs, log_p: Tensor, v: Tensor
    ) -> Float[Tensor, "probe example tensor"]:
        found = mapped_norms(self.problem, names, inputs, v) if self.mapped else None
        return looped_norms(self.problem, names, inputs, log_p, v) if found is None else found

    def _try(self, inputs: Inputs, generator: torch.Generator) -> None:
        """Decide, on the first two examples, what is done by rule and whether vmap can do the rest."""
        small = select(inputs, torch.arange(min(2, n_examples(inputs))))
        calls, log_p = self._forward(small, None)
        v = draw_directions(log_p.detach(), generator, "labels")[None]
        right = looped_norms(self.problem, self.names, small, log_p, v)[0]
        # sums in another order: each squared norm to a few hundred ε of itself, tiny ones to ε of them all
        allowed = torch.finfo(log_p.dtype).eps * (1024 * right + 4 * right.sum(1, keepdim=True))
        fitting = [call for call in calls if call.fits(len(right))]
        once = Counter(name for call in calls for name in call.names.values())
        norms = _by_rule(fitting, log_p, v)
        self.by_rule = frozenset(
            name
            for index, name in enumerate(self.names)
            if once[name] == 1
            and name in norms
            and bool(((norms[name][0].cpu() - right[:, index]).abs() <= allowed[:, index]).all())
        )
        rest = [index for index, name in enumerate(self.names) if name not in self.by_rule]
        if rest:
            mapped = mapped_norms(self.problem, [self.names[index] for index in rest], small, v)
            self.mapped = mapped is not None and bool(((mapped[0] - right[:, rest]).abs() <= allowed[:, rest]).all())


def _by_rule(calls: list[_Call], log_p: Tensor, v: Float[Tensor, "probe row token"]) -> dict[str, Tensor]:
    """Return the squared norms of scores, (probe, example) in float64, for every parameter of the calls."""
    if not calls:
        return {}
    found: dict[str, list[Tensor]] = {}
    for direction in v:
        gradients = torch.autograd.grad(
            log_p, [call.output for call in calls], direction, retain_graph=True, allow_unused=True
        )
        for call, g in zip(calls, gradients, strict=True):
            for name, norms in call.norms(g).items():
                found.setdefault(name, []).append(norms.double())
    return {name: torch.stack(norms) for name, norms in found.items()}


class _Call:
    """One call of a layer: what went in and came out."""

    def __init__(self, layer: nn.Module, names: dict[str, str], given: Tensor, output: Tensor) -> None:
        self.layer, self.names, self.output = layer, names, output
        self.given = given.detach()

    def fits(self, examples: int) -> bool:
        """Whether the leading axis is that of examples."""
        return self.output.ndim >= 2 and len(self.output) == examples == len(self.given)

    def norms(self, gradient: Tensor | None) -> dict[str, Float[Tensor, " example"]]:
        """Return the squared norm of every example's gradient, for each of the layer's parameters."""
        n = len(self.output)
        if gradient is None:
            return {name: self.output.new_zeros(n) for name in self.names.values()}
        token = isinstance(self.layer, nn.Embedding)
        a = self.given.reshape(n, -1, 1) if token else self.given.reshape(n, -1, self.given.shape[-1])
        g = gradient.reshape(n, -1, gradient.shape[-1])
        rules = _RULES[type(self.layer)]
        return {name: rules[kind](self.layer, a, g) for kind, name in self.names.items()}


def _record(
    calls: list[_Call], names: dict[str, str], module: nn.Module, given: tuple[Tensor, ...], output: Tensor
) -> None:
    if output.requires_grad:
        calls.append(_Call(module, names, given[0], output))
