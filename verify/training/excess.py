"""The excess loss L − L* = E KL(p* ‖ p_θ) of stacks of networks, in float64, over all contexts or a fixed sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic import Language
from verify.models.divergence import kl_divergence
from verify.networks import Network
from verify.training.tables import ContextTable

CHUNK_ENTRIES = 2**22
"""Contexts are evaluated so many at once that members × contexts × positions × features stay below this."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The contexts on which networks are measured and compared, with exact conditionals.

    With a leading axis `member`, every member of a stack has contexts of its own.

    Attributes:
        contexts: all contexts of positive probability, or a sample of them.
        weight: their law, or 1/n each; sums to one.
        conditional: p*, float64.
        method: enumeration or monte-carlo.
    """

    contexts: Int64[Tensor, "*member context position"]
    weight: Float[Tensor, "*member context"]
    conditional: Float[Tensor, "*member context token"]
    method: Literal["enumeration", "monte-carlo"]

    @classmethod
    def enumerated(cls, table: ContextTable) -> Reference:
        """Return all contexts of a table."""
        return cls(table.contexts, table.prob, table.conditional, "enumeration")

    @classmethod
    def sampled(cls, language: Language, n: int, generator: torch.Generator) -> Reference:
        """Return n contexts drawn once and for all; the same ones for every network, so that differences vary less.

        Raises:
            ValueError: n < 2, when there is no standard error.
        """
        if n < 2:
            raise ValueError(f"expected n >= 2 contexts for an estimate with a standard error, got {n}; raise n")
        contexts = language.sample_masked(n, generator, "cpu").contexts
        weight = torch.full((n,), 1 / n, dtype=torch.float64)
        return cls(contexts, weight, language.masked_conditional(contexts), "monte-carlo")

    @classmethod
    def each(cls, references: Sequence[Reference]) -> Reference:
        """Return one reference per member as one; shorter ones are filled up with contexts of weight 0.

        Raises:
            ValueError: there are none, they are stacked already, or of several methods.
        """
        methods = {own.method for own in references}
        if len(methods) != 1 or any(own.contexts.ndim != 2 for own in references):
            raise ValueError(
                f"expected references of single languages by one method, got {len(references)} by "
                f"{sorted(methods) or 'none'}; give one per member"
            )
        longest = max(len(own.contexts) for own in references)

        def filled(values: Tensor, by_zero: bool) -> Tensor:
            missing = longest - len(values)
            last = values[-1:].expand(missing, *values.shape[1:])
            return torch.cat([values, torch.zeros_like(last) if by_zero else last])

        return cls(
            torch.stack([filled(own.contexts, False) for own in references]),
            torch.stack([filled(own.weight, True) for own in references]),
            torch.stack([filled(own.conditional, False) for own in references]),
            references[0].method,
        )

    @cached_property
    def entropy_floor(self) -> Float[Tensor, "*member"]:
        """L* = E H(p*) in nats; exact for an enumeration."""
        floor: Tensor = (self.weight * torch.special.entr(self.conditional).sum(-1)).sum(-1)
        return floor

    @cached_property
    def learnable_gap(self) -> Float[Tensor, "*member"]:
        """H(E p*) − L* in nats, what a model gains that uses the context; exact for an enumeration."""
        mean = (self.weight.unsqueeze(-1) * self.conditional).sum(-2)
        gap: Tensor = torch.special.entr(mean).sum(-1) - self.entropy_floor
        return gap


@dataclass(frozen=True, eq=False)
class Excess:
    """Excess losses of the members of a stack, in nats.

    Attributes:
        estimate: E KL(p* ‖ p_θ).
        standard_error: over contexts; 0 for an enumeration.
    """

    estimate: Float[Tensor, "*stack"]
    standard_error: Float[Tensor, "*stack"]


def divergences(
    network: Network, reference: Reference, *, device: torch.device | str = "cpu"
) -> Float[Tensor, "*stack context"]:
    """Return KL(p*(·|x) ‖ p_θ(·|x)) of every member at every context of the reference, in float64.

    Args:
        network: measured on a float64 copy.
        reference: the contexts.
        device: where the copy is evaluated.
    """
    copied = network.copy().to(device=device, dtype=torch.float64)
    copied.fast = False
    entries = max(1, math.prod(network.stack)) * network.length * max(network.width, network.n_tokens)
    rows = max(1, CHUNK_ENTRIES // entries)
    with torch.no_grad():
        parts = [
            kl_divergence(conditional.to(device), copied(contexts.to(device))).cpu()
            for contexts, conditional in zip(
                torch.split(reference.contexts, rows, dim=-2),
                torch.split(reference.conditional, rows, dim=-2),
                strict=True,
            )
        ]
    return torch.cat(parts, dim=-1)


def log_ratio_error(
    first: Float[Tensor, "*stack context"], second: Float[Tensor, "*stack context"], reference: Reference
) -> Float[Tensor, "*stack"]:
    """Return the standard error of ln(excess of one network ÷ excess of another) over the contexts that both share.

    By the delta method √(Var(K₁/E₁ − K₂/E₂) / n), K the divergences at a context and E their mean: what both networks
    find hard cancels. 0 for an enumeration, and for a network against itself.
    """
    if reference.method == "enumeration":
        return torch.zeros_like(first[..., 0])
    relative = [each / (each * reference.weight).sum(-1, keepdim=True) for each in (first, second)]
    counted = (reference.weight > 0).sum(-1)
    variance: Tensor = (reference.weight * (relative[0] - relative[1]).square()).sum(-1) / (counted - 1)
    return variance.sqrt()


def excess_loss(network: Network, reference: Reference, *, device: torch.device | str = "cpu") -> Excess:
    """Return the excess loss of every member, in float64 whatever the network was trained in.

    Σ_x w(x) KL(p*(·|x) ‖ p_θ(·|x)) with `kl_divergence`, whose terms do not cancel; for an enumeration exact to
    rounding, for a sample with its standard error √(Var KL / n).

    Args:
        network: measured on a float64 copy.
        reference: the contexts.
        device: where the copy is evaluated.
    """
    divergence = divergences(network, reference, device=device)
    estimate = (divergence * reference.weight).sum(-1)
    exact = reference.method == "enumeration"
    # Var KL / n over the contexts of positive weight 1/n; others only fill up (`Reference.each`).
    spread = (reference.weight * (divergence - estimate.unsqueeze(-1)).square()).sum(-1)
    counted = (reference.weight > 0).sum(-1)
    error = torch.zeros_like(estimate) if exact else (spread / (counted - 1)).sqrt()
    return Excess(estimate, error)
