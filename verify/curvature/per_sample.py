r"""tr F from the score norm of every example, without forming a gradient.

A linear layer y_t = W a_t + b with g_t = ∂log p/∂y_t has ∂log p/∂W = Σ_t g_t a_tᵀ, whose squared norm is
Σ_{tt'} (g_t·g_t')(a_t·a_t') (Goodfellow 2015, arXiv 1510.01799; Li et al. 2021, arXiv 2110.05679, for several
positions). So the gradients at the outputs suffice: weights' gradients are neither formed nor averaged over a batch,
whose spread the small-batch estimate has on top of that of examples. Rules belong to operations, not to layers: to
products with a matrix in either layout, `embedding`, the normalisations, and sums and products with a parameter by
components. So they hold for the layers of torch, of `verify.networks` and of Hugging Face alike, and for a part of a
parameter, such as the queries of a joint matrix. torch's own attention, one operation with its projections, is opened
into the operations it is made of (`verify.curvature.joint_attention`). The scores of every other parameter are formed
(`verify.curvature.per_example`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from verify.curvature.data import Inputs, Labelled, n_examples, select
from verify.curvature.fisher import draw_directions
from verify.curvature.joint_attention import opened_attention
from verify.curvature.likelihood import Likelihood
from verify.curvature.per_example import looped_norms, mapped_norms

Norms = Callable[[Tensor, int], Tensor]
"""(gradient at the output, number of examples) ↦ squared norm of every example's gradient of an operand."""

Uses = Iterable[tuple[Tensor | None, Norms]]
"""The operands of an operation that may be parameters, each with its rule."""


def _of_matrix(given: Tensor, gradient: Tensor, n: int) -> Float[Tensor, " example"]:
    """Of W in y = aW or y = aWᵀ, positions between example and feature."""
    a, g = (value.reshape(n, -1, value.shape[-1]) for value in (given, gradient))
    if a.shape[1] * (a.shape[2] + g.shape[2]) < a.shape[2] * g.shape[2]:
        return ((g @ g.mT) * (a @ a.mT)).sum((1, 2))
    return (g.mT @ a).square().sum((1, 2))


def _of_table(tokens: Tensor, padding: int | None, gradient: Tensor, n: int) -> Float[Tensor, " example"]:
    t, g = tokens.reshape(n, -1), gradient.reshape(n, -1, gradient.shape[-1])
    same = t[:, :, None] == t[:, None, :]
    if padding is not None:
        same = same & (t != padding)[:, :, None]
    return ((g @ g.mT) * same).sum((1, 2))


def _of_component(shape: torch.Size, factor: Tensor | None, gradient: Tensor, n: int) -> Float[Tensor, " example"]:
    """Of p in y = … + p ⊙ factor, p broadcast over examples, and over positions where its shape says so."""
    g = gradient if factor is None else gradient * factor
    rows, *rest = g.shape
    aligned = [1] * (g.ndim - len(shape)) + list(shape)
    if aligned[0] != 1:
        return g.new_full((n,), torch.nan)  # a number of its own for each example: no rule
    each = g.reshape(n, rows // n, *rest).sum_to_size(n, 1, *aligned[1:])
    return each.square().reshape(n, -1).sum(1)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Uses:
    yield weight, partial(_of_matrix, input.detach())
    if bias is not None:
        yield bias, partial(_of_component, bias.shape, None)


def _addmm(input: Tensor, mat1: Tensor, mat2: Tensor) -> Uses:
    return _linear(mat1, mat2, input)


def _matmul(input: Tensor, other: Tensor) -> Uses:
    if other.ndim == 2:
        yield other, partial(_of_matrix, input.detach())


def _embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Uses:
    if max_norm is None and not scale_grad_by_freq:
        yield weight, partial(_of_table, input, None if padding_idx is None else padding_idx % len(weight))


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Uses:
    shape = torch.Size(normalized_shape)
    yield weight, partial(_of_component, shape, functional.layer_norm(input.detach(), list(normalized_shape), eps=eps))
    yield bias, partial(_of_component, shape, None)


def _rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Uses:
    unit = functional.rms_norm(input.detach(), list(normalized_shape), eps=eps)
    yield weight, partial(_of_component, torch.Size(normalized_shape), unit)


def _add(input: Tensor, other: Tensor) -> Uses:
    for operand in (input, other):
        yield operand, partial(_of_component, operand.shape, None)


def _mul(input: Tensor, other: Tensor) -> Uses:
    for operand, factor in ((input, other), (other, input)):
        yield operand, partial(_of_component, operand.shape, factor.detach())


def _addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor) -> Uses:
    yield input, partial(_of_component, input.shape, None)
    yield from _mul(tensor1, tensor2)


_RULES: dict[Any, Callable[..., Uses]] = {
    functional.linear: _linear,
    torch.addmm: _addmm,
    torch.matmul: _matmul,
    torch.Tensor.matmul: _matmul,
    torch.Tensor.__matmul__: _matmul,
    functional.embedding: _embedding,
    functional.layer_norm: _layer_norm,
    functional.rms_norm: _rms_norm,
    torch.add: _add,
    torch.Tensor.add: _add,
    torch.mul: _mul,
    torch.Tensor.mul: _mul,
    torch.addcmul: _addcmul,
}
"""Operations by what torch calls them, with arguments of the same names."""


class PerSampleFisher:
    """Estimates of tr F of each parameter tensor; those that have a rule are found by trial on the first batch.

    A parameter is done by rule if every number of it is used once, by an operation with a rule that has the example as
    the leading axis, alone or before positions: seen by comparing, on the first two examples, the norms with those
    of explicit scores. The rest is done by explicit scores: at once if vmap gives those of the two examples, otherwise
    one by one.
    """

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood
        self.names = list(likelihood.parameters)
        self.by_rule: frozenset[str] | None = None
        self.mapped = True

    def __call__(
        self, likelihood: Likelihood, batch: Labelled, probes: int, generator: torch.Generator
    ) -> Float[Tensor, "probe tensor"]:
        """Return `probes` estimates on one batch: the mean of ‖s_b‖² over its examples."""
        if self.by_rule is None:
            self._try(batch.inputs, generator)
        assert self.by_rule is not None
        calls, log_p = self._forward(batch.inputs, self.by_rule)
        v = torch.stack([draw_directions(log_p.detach(), generator, "labels") for _ in range(probes)])
        found = {name: norms.sum(-1).cpu() for name, norms in calls.norms(log_p, v).items()}
        rest = [name for name in self.names if name not in found]
        if rest:
            found |= dict(zip(rest, self._explicit(rest, batch.inputs, log_p, v).sum(1).unbind(-1), strict=True))
        return torch.stack([found[name] for name in self.names], dim=-1) / len(log_p)

    def _forward(self, inputs: Inputs, names: Iterable[str]) -> tuple[_Calls, Tensor]:
        """Run the model and record what uses the named parameters."""
        calls = _Calls({name: self.likelihood.parameters[name] for name in names}, n_examples(inputs))
        with calls:
            log_p = self.likelihood.rows(inputs)
        return calls, log_p

    def _explicit(
        self, names: list[str], inputs: Inputs, log_p: Tensor, v: Tensor
    ) -> Float[Tensor, "probe example tensor"]:
        tried = self.mapped and not set(names) & (self.by_rule or set())
        found = mapped_norms(self.likelihood, names, inputs, v) if tried else None
        return looped_norms(self.likelihood, names, inputs, log_p, v) if found is None else found

    def _try(self, inputs: Inputs, generator: torch.Generator) -> None:
        """Decide, on the first two examples, what is done by rule and whether vmap can do the rest."""
        small = select(inputs, torch.arange(min(2, n_examples(inputs))))
        calls, log_p = self._forward(small, self.names)
        as_called = self.likelihood.rows(small)  # with nothing opened
        v = draw_directions(log_p.detach(), generator, "labels")[None]
        right = looped_norms(self.likelihood, self.names, small, as_called, v)[0]
        # sums in another order: each squared norm to a few hundred ε of itself, tiny ones to ε of them all
        allowed = torch.finfo(log_p.dtype).eps * (1024 * right + 4 * right.sum(1, keepdim=True))
        norms = calls.norms(log_p, v)
        self.by_rule = frozenset(
            name
            for index, name in enumerate(self.names)
            if name in norms and bool(((norms[name][0].cpu() - right[:, index]).abs() <= allowed[:, index]).all())
        )
        rest = [index for index, name in enumerate(self.names) if name not in self.by_rule]
        if rest:
            mapped = mapped_norms(self.likelihood, [self.names[index] for index in rest], small, v)
            self.mapped = mapped is not None and bool(((mapped[0] - right[:, rest]).abs() <= allowed[:, rest]).all())


class _Use(NamedTuple):
    """A use of a parameter, or of a part of it, by an operation with a rule."""

    name: str
    part: Tensor
    output: Tensor
    norms: Norms
    fits: bool


class _Calls(TorchFunctionMode):
    """While active, records every use of the parameters by an operation that has a rule."""

    def __init__(self, parameters: dict[str, torch.nn.Parameter], n: int) -> None:
        super().__init__()
        self.parameters, self.n = parameters, n
        self._names = {id(value): name for name, value in parameters.items()}
        self._uses: list[_Use] = []
        self._even = True  # whether every example has as many rows as the others

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the operation and record it."""
        if func is functional.multi_head_attention_forward:
            with self:  # so that its parts are recorded
                opened = opened_attention(*args, **(kwargs or {}))
            if opened is not None:
                return opened
        output = func(*args, **(kwargs or {}))
        if func in _SELECTIONS:
            self._even = self._even and func is torch.Tensor.__getitem__ and self._selects_evenly(args[1])
        elif func in _RULES and isinstance(output, Tensor) and output.requires_grad and output.ndim >= 2:
            try:
                uses = list(_RULES[func](*args, **(kwargs or {})))
            except (TypeError, AttributeError):  # an argument no rule knows, or a number for a tensor
                return output
            fits = self._even and len(output) % self.n == 0
            for operand, norms in uses:
                name = self._owner(operand)
                if name is not None and operand is not None:
                    self._uses.append(_Use(name, operand, output, norms, fits))
        return output

    def norms(self, log_p: Tensor, v: Float[Tensor, "probe row token"]) -> dict[str, Float[Tensor, "probe example"]]:
        """Return the squared norms of scores in float64, for every parameter whose uses all fit and do not overlap."""
        by_name: dict[str, list[_Use]] = {}
        for use in self._uses:
            by_name.setdefault(use.name, []).append(use)
        uses = [
            use
            for name, own in by_name.items()
            if all(use.fits for use in own) and _apart(self.parameters[name], [use.part for use in own])
            for use in own
        ]
        found: dict[str, Tensor] = {}
        for probe, direction in enumerate(v if uses else ()):
            gradients = torch.autograd.grad(
                log_p, [use.output for use in uses], direction, retain_graph=True, allow_unused=True
            )
            for use, g in zip(uses, gradients, strict=True):
                total = found.setdefault(use.name, log_p.new_zeros(len(v), self.n, dtype=torch.float64))
                if g is not None:
                    total[probe] += use.norms(g, self.n)
        return found

    def _owner(self, operand: Tensor | None) -> str | None:
        """Return the name of the parameter that an operand is, or is a view of."""
        if not isinstance(operand, Tensor):
            return None
        return self._names.get(id(operand._base if operand._is_view() else operand))

    def _selects_evenly(self, index: Any) -> bool:
        """Whether a mask, if the index is one, takes as many positions of every example."""
        masks = [part for part in (index if isinstance(index, tuple) else (index,)) if isinstance(part, Tensor)]
        masks = [mask for mask in masks if mask.dtype == torch.bool]
        return all(
            len(mask) == self.n and len(set(mask.reshape(self.n, -1).sum(1).tolist())) == 1
            for mask in masks
            if mask.ndim
        )


_SELECTIONS = {
    torch.Tensor.__getitem__,
    torch.masked_select,
    torch.Tensor.masked_select,
    torch.nonzero,
    torch.Tensor.nonzero,
}
"""Operations after which examples may have different numbers of rows."""


def _apart(parameter: Tensor, parts: list[Tensor]) -> bool:
    """Whether no number of a parameter is in two of its parts, or twice in one."""
    if len(parts) == 1 and parts[0] is parameter:
        return True
    places = torch.arange(parameter.untyped_storage().nbytes() // parameter.element_size())
    used = torch.cat([places.as_strided(part.shape, part.stride(), part.storage_offset()).flatten() for part in parts])
    return int(torch.bincount(used).max()) == 1
