"""Random hidden Markov languages: without structure, with states that last, and with blocks of states."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from synthetic.hmm.language import HMM

PAPER_STATES, PAPER_TOKENS, PAPER_LENGTH = 100, 200, 16
"""Size of the paper's HMM (second-hand), the default of the constructions below."""

Lengths = int | Float[Tensor, "..."]


def dirichlet_hmm(
    generator: torch.Generator,
    states: int = PAPER_STATES,
    tokens: int = PAPER_TOKENS,
    lengths: Lengths = PAPER_LENGTH,
    *,
    concentration: float = 1.0,
    emission_concentration: float = 0.1,
) -> HMM:
    """Draw a model whose start, transition and emission rows are independent and Dirichlet(α, …, α).

    The smaller α, the fewer entries carry a row. Source: ours; the paper does not tell how its HMM was drawn
    (second-hand).

    Args:
        generator: source of randomness; the model lies on its device.
        states: S.
        tokens: c.
        lengths: fixed length, or law of the lengths.
        concentration: α of start and transitions.
        emission_concentration: α of the emissions.

    Raises:
        ValueError: if a size is below 1 or a concentration is not positive and finite.
    """
    start, transition, emission = _rows(generator, states, tokens, concentration, emission_concentration)
    return HMM(transition, emission, start, lengths)


def sticky_hmm(
    generator: torch.Generator,
    states: int = PAPER_STATES,
    tokens: int = PAPER_TOKENS,
    lengths: Lengths = PAPER_LENGTH,
    *,
    stay: float = 0.8,
    concentration: float = 1.0,
    emission_concentration: float = 0.1,
) -> HMM:
    """Draw a Dirichlet model whose states last: A = stay · 1 + (1 − stay) · Dirichlet rows, 1/(1 − stay) steps or more.

    `stay` is the least probability of staying, in [0, 1]. Other arguments and errors: `dirichlet_hmm`.

    Raises:
        ValueError: if `stay` is no probability.
    """
    _check_share("stay", stay)
    start, transition, emission = _rows(generator, states, tokens, concentration, emission_concentration)
    transition = stay * torch.eye(states, dtype=torch.float64, device=generator.device) + (1 - stay) * transition
    return HMM.normalised(transition, emission, start, lengths)


def block_hmm(
    generator: torch.Generator,
    states: int = PAPER_STATES,
    tokens: int = PAPER_TOKENS,
    lengths: Lengths = PAPER_LENGTH,
    *,
    blocks: int = 5,
    leave: float = 0.1,
    concentration: float = 1.0,
    emission_concentration: float = 0.1,
) -> HMM:
    """Draw a Dirichlet model whose states form blocks of consecutive states that the chain seldom leaves.

    With D the Dirichlet transitions, A ∝ (1 − leave) · D inside the block + leave · D overall, row by row, each part
    normalised first: `leave` in [0, 1] is the probability of a step that ignores the blocks, which are of nearly equal
    size. With leave = 0 the model is a mixture of its blocks, and they are its `groups`. Other arguments and errors:
    `dirichlet_hmm`.

    Raises:
        ValueError: if `leave` is no probability, or there are fewer states than blocks.
    """
    _check_share("leave", leave)
    if not 1 <= blocks <= states:
        raise ValueError(f"expected 1..{states} blocks for {states} states, got {blocks}; each needs a state")
    start, transition, emission = _rows(generator, states, tokens, concentration, emission_concentration)
    block = torch.arange(states, device=generator.device) * blocks // states
    # A row so sparse that nothing of it lies in its block gets an even chance there.
    inside = transition.clamp(min=torch.finfo(torch.float64).tiny) * (block[:, None] == block[None, :])
    within = inside / inside.sum(1, keepdim=True)
    groups = tuple(block.tolist()) if leave == 0 else None
    return HMM.normalised((1 - leave) * within + leave * transition, emission, start, lengths, groups=groups)


def _rows(
    generator: torch.Generator, states: int, tokens: int, concentration: float, emission_concentration: float
) -> tuple[Float[Tensor, " state"], Float[Tensor, "state state"], Float[Tensor, "state token"]]:
    for name, size in (("states", states), ("tokens", tokens)):
        if size < 1:
            raise ValueError(f"expected at least 1 of {name}, got {size}; raise it")
    start = _dirichlet(generator, 1, states, concentration)[0]
    return (
        start,
        _dirichlet(generator, states, states, concentration),
        _dirichlet(generator, states, tokens, emission_concentration),
    )


def _dirichlet(generator: torch.Generator, rows: int, columns: int, alpha: float) -> Float[Tensor, "row column"]:
    if not 0 < alpha < float("inf"):
        raise ValueError(f"expected a concentration > 0, got {alpha}; 1 draws uniformly from the simplex")
    shape = torch.full((rows, columns), alpha, dtype=torch.float64, device=generator.device)
    # Gamma(α) = Gamma(α + 1)·U^{1/α}, in logarithms: at small α the gammas themselves would all underflow.
    # What torch.distributions draws from as well; only this form takes a generator.
    log_gamma = torch._standard_gamma(shape + 1, generator=generator).log()
    uniform = 1 - torch.rand(shape.shape, generator=generator, device=generator.device, dtype=torch.float64)
    return torch.softmax(log_gamma + uniform.log() / alpha, 1)


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"expected {name} in [0, 1], got {share}; it is a probability")
