"""Topic languages: one topic a sentence, whose law draws its words independently; and languages renamed by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.hmm.language import HMM
from synthetic.hmm.mixture import mixture_of_hmms


def topic_language(laws: Float[Tensor, "topic token"], length: int) -> HMM:
    r"""Return the even mixture of independent words, P(x) = (1/K) Σ_k Π_t p_k(x_t), as a model of K states that stay.

    Its conditionals depend on the bag of the visible tokens only: p*(v | x_{−t}) ∝ Σ_k p_k(v) Π_{i≠t} p_k(x_i). The
    topic is the downstream task `mixture-component`. Source: ours.

    Args:
        laws: p_k, one probability vector a row, float64.
        length: T.

    Raises:
        ProbabilityError: if a row is no probability vector.
    """
    one = torch.ones(1, dtype=torch.float64, device=laws.device)
    topics = [HMM(one[None], law[None], one, length) for law in laws]
    return mixture_of_hmms(topics, torch.full_like(laws[:, 0], 1 / len(laws)))


def zipf_topics(
    generator: torch.Generator, topics: int = 3, tokens: int = 6, length: int = 5, *, exponent: float = 1.0
) -> HMM:
    """Draw a topic language whose topics rank the tokens at random, each by itself: p_k(v) ∝ rank_k(v)^−exponent.

    Source: ours.
    """
    weights = torch.arange(1, tokens + 1, dtype=torch.float64, device=generator.device) ** -exponent
    ranks = random_renamings(generator, topics, tokens)
    return topic_language((weights / weights.sum())[ranks], length)


def random_renamings(generator: torch.Generator, n: int, tokens: int) -> Int64[Tensor, "renaming token"]:
    """Draw n independent permutations of the tokens."""
    drawn = [torch.randperm(tokens, generator=generator, device=generator.device) for _ in range(n)]
    return torch.stack(drawn)


def renamed(language: HMM, names: Int64[Tensor, "position token"] | Sequence[Sequence[int]]) -> HMM:
    """Return the law of σ_1(x_1) … σ_T(x_T), x a sentence of a model of fixed length and σ_t(v) = names[t, v].

    The same information in the same places: p'(σ_t(v) | σ(x)_{−t}) = p*(v | x_{−t}), and the posterior of the states is
    that of x. A state of the new model is a position and a state there, t·S + s; `groups` are kept. Source: ours.

    Raises:
        ValueError: if lengths vary, or `names` are not one permutation of the tokens for each position.
    """
    steps, own, tokens = language.length, language.n_states, language.n_tokens
    names = torch.as_tensor(names, device=language.start.device)
    every = torch.arange(tokens, device=names.device).expand(steps, tokens)
    if language.padded or names.shape != every.shape or not names.sort(1).values.equal(every):
        raise ValueError(
            f"expected a fixed length and a permutation of 0..{tokens - 1} for each of {steps} positions, got "
            f"{tuple(names.shape)} numbers for {language!r}; draw them with random_renamings(generator, T, n_tokens)"
        )
    transition = torch.zeros(steps, own, steps, own, dtype=torch.float64, device=names.device)
    for t in range(steps):
        transition[t, :, min(t + 1, steps - 1)] = language.transition  # from the last position: never used
    emission = torch.empty(steps, own, tokens, dtype=torch.float64, device=names.device)
    emission.scatter_(2, names[:, None].expand(steps, own, tokens), language.emission.expand(steps, own, tokens))
    return replace(
        language,
        transition=transition.reshape(steps * own, steps * own),
        emission=emission.reshape(steps * own, tokens),
        start=torch.cat([language.start, language.start.new_zeros((steps - 1) * own)]),
        groups=None if language.groups is None else language.groups * steps,
    )
