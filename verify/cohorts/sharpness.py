r"""tr F and Σθ²F of every member of a stack, from the same probes for every condition.

F_ii = E (∂_i Σ_{xy} ε_{xy} 2√p_θ(y|x)/√n)² over independent signs ε and contexts x (`trace_penalty`), so that one
backward pass gives an unbiased estimate of tr F and of Σ_i θ_i² F_ii, which exact rescalings of the network do not
change. F is H on Γ; near it they differ in proportion to p* − p_θ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from verify.networks.network import Network
from verify.training.excess import Reference
from verify.training.trace_penalty import random_signs

PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "normalisation": ("norm.",),
        "embedding": ("token", "position"),
        "attention": ("qkv.", "out."),
        "MLP": ("hidden.", "output."),
        "recurrence": ("layers.",),
        "head": ("unembedding.", "head_"),
    }
)
"""Parts of a network, in the order in which they are tried, by what the names of their parameters contain."""


CONTEXTS = 64
"""Contexts of a probe."""


def part_of(name: str) -> str:
    """Return the part of a network that a parameter belongs to.

    Raises:
        ValueError: to none that is known.
    """
    for part, marks in PARTS.items():
        if any(mark in name for mark in marks):
            return part
    raise ValueError(f"expected a parameter of a known part, got {name!r}; add what it is called to PARTS")


@dataclass(frozen=True, eq=False)
class Sharpness:
    """Estimates for every member; Monte Carlo.

    Attributes:
        invariant: Σ_i θ_i² F_ii.
        parts: tr F of each part of the network.
        probes: independent probes averaged.
        contexts: contexts of each.
    """

    invariant: Float[Tensor, " member"]
    parts: Mapping[str, Float[Tensor, " member"]]
    probes: int
    contexts: int

    @property
    def trace(self) -> Float[Tensor, " member"]:
        """Estimates of tr F: the sum of its parts."""
        return torch.stack(list(self.parts.values())).sum(0)

    def tensors(self) -> dict[str, Tensor]:
        """Return the estimates by name, for a store."""
        return {"invariant": self.invariant, **self.parts}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], probes: int, contexts: int = CONTEXTS) -> Sharpness:
        """Return what `tensors` wrote, parts in the order of `PARTS`."""
        return cls(tensors["invariant"], {part: tensors[part] for part in PARTS if part in tensors}, probes, contexts)


def sharpness(
    network: Network, reference: Reference, seeds: Sequence[int], *, probes: int = 16, contexts: int = CONTEXTS
) -> Sharpness:
    """Return tr F and Σθ²F of the members of a stack (R,), each on contexts of its own reference.

    Equal seeds give equal contexts and signs, so that the ratio of two networks' estimates varies less than either.

    Args:
        network: every parameter begins with the stack.
        reference: contexts of every member, of shape (member, context, position).
        seeds: one per member.
        probes: number of backward passes.
        contexts: contexts of each.
    """
    copied = network.copy().double()
    copied.fast = True  # a first derivative is all that is taken
    names, leaves = zip(*copied.named_parameters(), strict=True)
    device = leaves[0].device
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    members = torch.arange(len(seeds)).unsqueeze(-1)
    invariant = torch.zeros(len(seeds), dtype=torch.float64)
    parts = {part_of(name): torch.zeros_like(invariant) for name in names}
    for _ in range(probes):
        index = torch.stack(
            [
                torch.multinomial(weight, contexts, replacement=True, generator=generator)
                for weight, generator in zip(reference.weight, generators, strict=True)
            ]
        )
        signs = random_signs((contexts, network.n_tokens), generators, torch.float64, device)
        root = (copied(reference.contexts[members, index].to(device)) / 2).exp()
        gradients = torch.autograd.grad((signs * root).sum() * (2 / contexts**0.5), leaves)
        for name, leaf, gradient in zip(names, leaves, gradients, strict=True):
            square = gradient.square().reshape(len(seeds), -1)
            parts[part_of(name)] += square.sum(1).cpu() / probes
            invariant += (leaf.detach().reshape(len(seeds), -1).square() * square).sum(1).cpu() / probes
    return Sharpness(invariant, parts, probes, contexts)
