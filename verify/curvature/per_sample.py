r"""tr F from the score norm of every example, without forming a gradient.

A linear layer y_t = W a_t + b with g_t = ∂log p/∂y_t has ∂log p/∂W = Σ_t g_t a_tᵀ, whose squared norm is
Σ_{tt'} (g_t·g_t')(a_t·a_t') (Goodfellow 2015, arXiv 1510.01799; Li et al. 2021, arXiv 2110.05679, for several
positions). So the gradients at the layers' outputs suffice: weights' gradients are neither formed nor averaged over
a batch, whose spread the small-batch estimate has on top of that of examples. Linear, Embedding, LayerNorm and
RMSNorm layers are done so; every other parameter, by the small-batch score norm from the same backward pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from verify.curvature.data import Batch, n_examples, select
from verify.curvature.fisher import draw_directions, squared_norm
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
    """Estimates of tr F of each parameter tensor; the layers that it can do are found by trial on the first batch.

    A layer is done by hooks if it is called once, with the example as the leading axis, and its parameter is used
    nowhere else: seen by comparing, on the first two examples, the norms with those of explicit gradients.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.names = list(problem.parameters)
        self.verified: frozenset[str] | None = None
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
        if self.verified is None:
            self.verified = self._verify(batch, generator)
        traced, log_p = self._forward(batch, self.verified)
        return torch.stack(
            [
                self._estimate(traced, log_p, draw_directions(log_p.detach(), generator, "labels"), last)
                for last in [*[False] * (probes - 1), True]
            ]
        )

    def _forward(self, batch: Batch, names: frozenset[str] | None) -> tuple[list[_Call], Tensor]:
        """Run the model with hooks on; names None tries every layer."""
        calls: list[_Call] = []
        handles: list[RemovableHandle] = []
        for module, own in self._owned.items():
            kept = {kind: name for kind, name in own.items() if names is None or name in names}
            if kept:
                handles.append(module.register_forward_hook(_recorder(calls, kept)))
        try:
            log_p = self.problem.rows(batch.inputs)
        finally:
            for handle in handles:
                handle.remove()
        return calls, log_p

    def _estimate(self, calls: list[_Call], log_p: Tensor, v: Tensor, last: bool) -> Float[Tensor, " tensor"]:
        by_hook = {name for call in calls for name in call.names.values()}
        rest = [name for name in self.names if name not in by_hook]
        parameters = self.problem.parameters
        wanted = [call.output for call in calls] + [parameters[name] for name in rest]
        gradients = torch.autograd.grad(log_p, wanted, v, retain_graph=not last, allow_unused=True)
        found = {name: squared_norm(g, len(log_p)) for name, g in zip(rest, gradients[len(calls) :], strict=True)}
        for call, g in zip(calls, gradients[: len(calls)], strict=True):
            for name, norms in call.norms(g).items():
                found[name] = norms.sum(dtype=torch.float64).cpu() / len(log_p)
        return torch.stack([found[name] for name in self.names])

    def _verify(self, batch: Batch, generator: torch.Generator) -> frozenset[str]:
        """Return the parameters whose hooked norms are those of explicit gradients on the first two examples."""
        two = torch.arange(min(2, n_examples(batch.inputs)))
        small = Batch(select(batch.inputs, two))
        calls, log_p = self._forward(small, None)
        v = draw_directions(log_p.detach(), generator, "labels")
        norms: dict[str, list[Tensor]] = {}
        gradients = torch.autograd.grad(log_p, [call.output for call in calls], v, allow_unused=True) if calls else ()
        for call, g in zip(calls, gradients, strict=True):
            if call.fits(len(two)):
                for name, value in call.norms(g).items():
                    norms.setdefault(name, []).append(value.double())
        rows = len(log_p) // len(two)
        right = set(norms)
        for example in two.tolist():
            log_one = self.problem.rows(select(small.inputs, two[example : example + 1]))
            if len(log_one) != rows:
                return frozenset()
            parts: tuple[Tensor | None, ...] = torch.autograd.grad(
                log_one,
                [self.problem.parameters[name] for name in self.names],
                v[example * rows : (example + 1) * rows],
                allow_unused=True,
            )
            explicit = {
                name: 0.0 if part is None else float(part.double().square().sum())
                for name, part in zip(self.names, parts, strict=True)
            }
            # sums in another order: each squared norm to a few hundred ε of itself, tiny ones to ε of the largest
            epsilon = torch.finfo(log_p.dtype).eps
            allowed = 4 * epsilon * sum(explicit.values())
            for name in list(right):
                agrees = (
                    len(norms[name]) == 1
                    and abs(float(norms[name][0][example]) - explicit[name])
                    <= allowed + 1024 * epsilon * explicit[name]
                )
                if not agrees:
                    right.discard(name)
        return frozenset(right)


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


def _recorder(calls: list[_Call], names: dict[str, str]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def record(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            calls.append(_Call(module, names, given[0], output))

    return record
