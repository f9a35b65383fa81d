r"""The continuous symmetries of a network that mix parameters group by group, on parameters of disjoint groups.

In each group some parameters u (row, h) and others v (row', h) enter the function through u vᵀ alone, or through an
activation with φ(cx) = c φ(x), so that u → u A, v → v A^{−T} is the same function: for every A in GL(h), or for h = 1
every A > 0. Gradients then become G_u A^{−T} and G_v A (claim `orbit-trace`). Of a pre-LN transformer:

- queries against keys of a head, biases among the rows: GL(h), h = features of the head
- values against the head's rows of the output map, transposed: GL(h)
- weights and bias into a relu unit against the weights out of it: A > 0
- gain and bias of the final normalisation against the rows of an untied head: A ≠ 0, feature by feature

Left out are what shares parameters with these, the other normalisations, and translations such as that of a value's
bias into the output's. With a normalisation of queries and keys or rotary positions the first would be smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from verify.networks.network import Network
from verify.networks.transformer import Transformer

Values = Mapping[str, Tensor]
"""Parameters, or gradients by them, by name, of shape (*stack, *parameter)."""

Sides = tuple[list[Tensor], list[Tensor]]
"""u and v of all groups: each a list of views (*stack, group, row, feature) that stand below each other."""


@dataclass(frozen=True)
class Symmetry:
    """One kind of symmetry of a network: some number of groups, each with an A of its own.

    Attributes:
        name: such as "blocks.0 queries".
        sides: the u and v among parameters, as views.
    """

    name: str
    sides: Callable[[Values], Sides]

    def moments(self, gradients: Values) -> Float[Tensor, "side *stack group feature feature2"]:
        """Return G_uᵀG_u and G_vᵀG_v of every group."""
        first, second = ([sum_of_products(views)] for views in self.sides(gradients))
        return torch.stack(first + second)


def sum_of_products(views: list[Tensor]) -> Float[Tensor, "*batch feature feature2"]:
    """Return Σ_rows gᵀg over the rows of all views."""
    return torch.stack([view.mT @ view for view in views]).sum(0)


def symmetries(network: Network) -> tuple[Symmetry, ...]:
    """Return the symmetries of a network, on disjoint parameters; none of architectures other than transformers."""
    if not isinstance(network, Transformer):
        return ()
    config = network.config
    split = (3, config.heads, config.head_width)
    found = []
    for index in range(config.layers):
        block = f"blocks.{index}"
        found.append(Symmetry(f"{block} queries", _queries(block, split)))
        found.append(Symmetry(f"{block} values", _values(block, split)))
        if config.activation == "relu":
            found.append(Symmetry(f"{block} hidden", _hidden(block)))
    return (*found,) if config.tied else (*found, Symmetry("norm", _final))


def moved(network: Network, elements: Mapping[str, Float[Tensor, "*stack group feature feature2"]]) -> Network:
    """Return a copy with u → u A, v → v A^{−T} in the groups of the named symmetries: the same function, to rounding.

    Args:
        network: the network.
        elements: A of every group, by the name of the symmetry; symmetries without one are left alone.

    Raises:
        ValueError: the network has no symmetry of that name.
    """
    known = {symmetry.name: symmetry for symmetry in symmetries(network)}
    if unknown := sorted(set(elements) - set(known)):
        raise ValueError(f"expected symmetries among {', '.join(known) or 'none'}, got {', '.join(unknown)}")
    copied = network.copy()
    values = {name: parameter.data for name, parameter in copied.named_parameters()}
    for name, element in elements.items():
        first, second = known[name].sides(values)
        for views, matrix in ((first, element), (second, torch.linalg.inv(element).mT)):
            for view in views:
                view.copy_(view @ matrix)
    return copied


def _by_head(qkv: Tensor, split: tuple[int, int, int]) -> Tensor:
    """(*stack, row, (3 · head · feature)) as (3, *stack, head, row, feature)."""
    return qkv.reshape(*qkv.shape[:-1], *split).movedim(-3, 0).movedim(-3, -2)


def _queries(block: str, split: tuple[int, int, int]) -> Callable[[Values], Sides]:
    def sides(values: Values) -> Sides:
        weight, bias = _qkv(values, block, split)
        return [weight[0], bias[0]], [weight[1], bias[1]]

    return sides


def _values(block: str, split: tuple[int, int, int]) -> Callable[[Values], Sides]:
    def sides(values: Values) -> Sides:
        (weight, bias), out = _qkv(values, block, split), values[f"{block}.out.weight"]
        rows = out.reshape(*out.shape[:-2], *split[1:], out.shape[-1])
        return [weight[2], bias[2]], [rows.mT]

    return sides


def _qkv(values: Values, block: str, split: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    weight, bias = values[f"{block}.qkv.weight"], values[f"{block}.qkv.bias"]
    return _by_head(weight, split), _by_head(bias.unsqueeze(-2), split)


def _hidden(block: str) -> Callable[[Values], Sides]:
    def sides(values: Values) -> Sides:
        into = [values[f"{block}.hidden.weight"].mT.unsqueeze(-1), values[f"{block}.hidden.bias"][..., None, None]]
        return into, [values[f"{block}.output.weight"].unsqueeze(-1)]

    return sides


def _final(values: Values) -> Sides:
    return [values[f"norm.{name}"][..., None, None] for name in ("gain", "bias")], [
        values["unembedding.weight"].unsqueeze(-1)
    ]
