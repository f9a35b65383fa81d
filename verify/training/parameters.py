"""The parameters of a stacked network as the rows of one matrix, which optimisers, noise and averages act on."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from verify.networks import Network


def members_of(network: Network) -> int:
    """Return the number of members: 1 for stack (), R for stack (R,).

    Raises:
        ValueError: the stack has more than one axis.
    """
    if len(network.stack) > 1:
        raise ValueError(f"expected a network of stack () or (R,), got {network.stack}; flatten the seeds to one axis")
    return network.stack[0] if network.stack else 1


def per_member(weight: float | Sequence[float], members: int, *, what: str, like: Tensor) -> Float[Tensor, " member"]:
    """Return a number per member.

    Raises:
        ValueError: there are neither one nor `members` numbers.
    """
    values = torch.as_tensor(weight, dtype=like.dtype, device=like.device)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != members):
        raise ValueError(f"expected one {what} or {members}, one per seed, got {tuple(values.shape)}")
    return values.expand(members)


class FlatParameters:
    """A copy of a network whose parameters are views of one matrix θ of shape (member, parameter).

    Acting on θ in place moves the network. A gradient comes back as a matrix of the same shape, the parameters one
    after the other in the order of `named_parameters`.

    Args:
        network: what is copied; left as it is.
        dtype: of the copy.
        device: of the copy.

    Attributes:
        network: the copy.
        theta: θ.

    Raises:
        ValueError: the stack has more than one axis, or a parameter does not begin with it.
    """

    def __init__(self, network: Network, dtype: torch.dtype, device: torch.device | str) -> None:
        members = members_of(network)
        self.network = copy.deepcopy(network).to(device=device, dtype=dtype)
        named = dict(self.network.named_parameters())
        for name, parameter in named.items():
            if parameter.shape[: len(network.stack)] != network.stack:
                raise ValueError(
                    f"expected every parameter to begin with the stack {network.stack}, got {name} of shape "
                    f"{tuple(parameter.shape)}; give it one entry per seed"
                )
        with torch.no_grad():
            self.theta: Float[Tensor, "member parameter"] = torch.cat(
                [parameter.reshape(members, -1) for parameter in named.values()], dim=1
            )
        self.leaves = _rebind(self.network, self.theta)

    def gradient(self, scalar: Tensor, *, keep_graph: bool = False) -> Float[Tensor, "member parameter"]:
        """Return the gradient of a scalar; a parameter that it does not depend on has gradient zero."""
        parts = torch.autograd.grad(
            scalar, self.leaves, retain_graph=keep_graph, allow_unused=True, materialize_grads=True
        )
        return torch.cat([part.reshape(len(self.theta), -1) for part in parts], dim=1)


def network_at(network: Network, theta: Float[Tensor, "member parameter"], *, dtype: torch.dtype) -> Network:
    """Return a copy of a network with the rows of θ as its parameters, in `dtype`; nothing is shared with either.

    The copy may be differentiated to any order (`fast` is off).

    Raises:
        ValueError: θ does not have one row per member and one column per parameter of a member.
    """
    members = members_of(network)
    size = sum(parameter.numel() for parameter in network.parameters()) // members
    if theta.shape != (members, size):
        raise ValueError(
            f"expected parameters of shape ({members}, {size}), got {tuple(theta.shape)}; "
            "give the rows of the same kind of network"
        )
    found = copy.deepcopy(network).to(dtype)
    found.fast = False
    with torch.no_grad():
        for parameter, values in zip(found.parameters(), _split(found, theta), strict=True):
            parameter.copy_(values)
    return found


def _split(network: Network, theta: Tensor) -> Iterator[Tensor]:
    """Yield the views of θ that are the network's parameters, in order."""
    place = 0
    for parameter in network.parameters():
        size = parameter.numel() // len(theta)
        yield theta[:, place : place + size].view(parameter.shape)
        place += size


def _rebind(network: Network, theta: Tensor) -> list[nn.Parameter]:
    """Make the network's parameters views of θ and return them in order; shared ones stay shared."""
    old = list(network.parameters())
    views = {id(parameter): nn.Parameter(view) for parameter, view in zip(old, _split(network, theta), strict=True)}
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            module.register_parameter(name, views[id(parameter)])
    return [views[id(parameter)] for parameter in old]
