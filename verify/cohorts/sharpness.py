r"""tr F and Σθ²F of every member of a stack, from the same probes for every arm.

F_ii = E (∂_i Σ_{xy} ε_{xy} 2√p_θ(y|x)/√n)² over independent signs ε and contexts x (`trace_penalty`), so that one
backward pass gives an unbiased estimate of tr F and of Σ_i θ_i² F_ii, which exact rescalings of the network do not
change. F is H on Γ; near it they differ in proportion to p* − p_θ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from verify.networks.network import Network
from verify.training.excess import Reference
from verify.training.trace_penalty import random_signs


@dataclass(frozen=True, eq=False)
class Sharpness:
    """Estimates for every member; Monte Carlo.

    Attributes:
        trace: tr F.
        invariant: Σ_i θ_i² F_ii.
        probes: independent probes averaged.
        contexts: contexts of each.
    """

    trace: Float[Tensor, " member"]
    invariant: Float[Tensor, " member"]
    probes: int
    contexts: int


def sharpness(
    network: Network, reference: Reference, seeds: Sequence[int], *, probes: int = 16, contexts: int = 64
) -> Sharpness:
    """Return tr F and Σθ²F of the members of a stack (R,), each on contexts of its own reference.

    Equal seeds give equal contexts and signs, so that the ratio of two networks' estimates varies less than either.

    Args:
        network: of primitives; every parameter begins with the stack.
        reference: contexts of every member, of shape (member, context, position).
        seeds: one per member.
        probes: number of backward passes.
        contexts: contexts of each.
    """
    copied = network.copy().double()
    copied.fast = False
    leaves = list(copied.parameters())
    device = leaves[0].device
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    members = torch.arange(len(seeds)).unsqueeze(-1)
    trace, invariant = torch.zeros(2, len(seeds), dtype=torch.float64)
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
        for leaf, part in zip(leaves, gradients, strict=True):
            square = part.square().reshape(len(seeds), -1)
            trace += square.sum(1).cpu() / probes
            invariant += (leaf.detach().reshape(len(seeds), -1).square() * square).sum(1).cpu() / probes
    return Sharpness(trace, invariant, probes, contexts)
