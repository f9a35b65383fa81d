r"""Measures of flatness of every member of a stack, from one backward pass for all of them.

tr F, Σθ²F, tr Diag(F)^{1/2}, and the least tr F on the orbit of the network's symmetries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature import Labelled, call_model
from verify.curvature.fisher import scores
from verify.curvature.likelihood import Likelihood
from verify.curvature.orbit import Orbit
from verify.networks import Network
from verify.networks.symmetries import symmetries
from verify.training import Reference

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
"""Contexts of a batch."""


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
    """Independent estimates for every member, one for each batch; their mean is the estimate.

    Attributes:
        invariants: of Σ_i θ_i² F_ii, which exact rescalings of a network do not change.
        by_part: of tr F of each part of the network.
        roots: of tr Diag(F)^{1/2} = Σ_i √F_ii, one from all batches together. Of b batches, where scores are near
            Gaussian, it is low by the share 1/(4b), for every network alike.
        orbit_trace: of the least tr F on the orbit of the network's symmetries, one from all batches together. The
            least of an estimated mean is too low: in a pilot of 8 batches of 64, by less than 1%.
    """

    invariants: Float[Tensor, "batch member"]
    by_part: Mapping[str, Float[Tensor, "batch member"]]
    roots: Float[Tensor, " member"]
    orbit_trace: Float[Tensor, " member"]

    @property
    def invariant(self) -> Float[Tensor, " member"]:
        return self.invariants.mean(0)

    @property
    def parts(self) -> dict[str, Float[Tensor, " member"]]:
        return {part: own.mean(0) for part, own in self.by_part.items()}

    @property
    def traces(self) -> Float[Tensor, "batch member"]:
        """Of tr F: units of `verify.curvature.interval.interval_of`, where they are 32 or more."""
        return torch.stack(list(self.by_part.values())).sum(0)

    @property
    def trace(self) -> Float[Tensor, " member"]:
        return self.traces.mean(0)

    def tensors(self) -> dict[str, Tensor]:
        """Return the estimates by name, for a store."""
        return {"invariant": self.invariants, "roots": self.roots, "orbit_trace": self.orbit_trace, **self.by_part}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Sharpness:
        """Return what `tensors` wrote, parts in the order of `PARTS`."""
        parts = {part: tensors[part] for part in PARTS if part in tensors}
        return cls(tensors["invariant"], parts, tensors["roots"], tensors["orbit_trace"])


def sharpness(
    network: Network, reference: Reference, seeds: Sequence[int], *, batches: int, contexts: int = CONTEXTS
) -> Sharpness:
    """Return four measures of the members of a stack (R,), each on contexts of its own reference. Monte Carlo.

    The estimator is `gauss-newton` of `verify.curvature.trace`. Equal seeds make the ratio of two networks' estimates
    vary less than either.

    Args:
        network: every parameter begins with the stack.
        reference: contexts of every member, of shape (member, context, position).
        seeds: one per member.
        batches: number of backward passes.
        contexts: contexts of each.
    """
    copied = network.copy().double()
    copied.fast = True  # a first derivative is all that is taken
    likelihood = Likelihood(copied, call_model, copied.stack)
    theta = [value.detach() for value in likelihood.parameters.values()]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    rows = torch.arange(len(seeds)).unsqueeze(-1)
    kinds = symmetries(network)
    traces, invariants = [], []
    diagonal = [torch.zeros_like(value) for value in theta]
    moments: dict[str, Tensor] = {}
    for _ in range(batches):
        drawn = [
            torch.multinomial(weight, contexts, replacement=True, generator=generator)
            for weight, generator in zip(reference.weight, generators, strict=True)
        ]
        batch = Labelled(reference.contexts[rows, torch.stack(drawn)].to(theta[0].device))
        for n, parts in scores(likelihood, batch, 1, generators, "signs"):
            traces.append(likelihood.squared_norms(parts) / n)
            invariants.append(likelihood.squared_norms(parts, theta).sum(-1) / n)
            for own, part in zip(diagonal, parts, strict=True):
                if part is not None:
                    own += part.square() / (n * batches)
            named = {name: part for name, part in zip(likelihood.parameters, parts, strict=True) if part is not None}
            for kind in kinds:
                own = kind.moments(named).cpu() / (n * batches)
                moments[kind.name] = moments.get(kind.name, torch.zeros(())) + own
    tensors = torch.stack(traces)
    names = [part_of(name) for name in likelihood.parameters]
    return Sharpness(
        torch.stack(invariants),
        {part: tensors[..., [own == part for own in names]].sum(-1) for part in PARTS if part in names},
        torch.stack([own.sqrt().reshape(len(seeds), -1).sum(-1) for own in diagonal]).sum(0).cpu(),
        Orbit(tensors.sum(-1).mean(0), moments).least,
    )
