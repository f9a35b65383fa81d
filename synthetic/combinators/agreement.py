"""What languages made of others share: agreement of their parts, joint laws, sentences of another size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.combinators.channels import Channel
from synthetic.enumeration import ImpossibleContextError
from synthetic.language import Language
from synthetic.tokens import PAD, fill, mask

CHUNK = 2**22
"""Tokens of filled-in sentences that are held at once."""


class Changed(Language):
    """A language that changes another one, `language`, but not its vocabulary, sizes, positions and graph."""

    language: Language

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.language.vocabulary

    @property
    def length(self) -> int:
        return self.language.length

    @property
    def masked_positions(self) -> tuple[int, ...]:
        return self.language.masked_positions

    def graph(self) -> nx.Graph | None:
        return self.language.graph()


def shared_vocabulary(languages: Sequence[Language], what: str) -> tuple[str, ...]:
    """Return the vocabulary that the languages have in common.

    Raises:
        ValueError: if there is no language, or two vocabularies differ.
    """
    if not languages:
        raise ValueError(f"expected at least one of {what}, got none; give a sequence of languages")
    for place, language in enumerate(languages):
        if language.vocabulary != languages[0].vocabulary:
            raise ValueError(
                f"expected {what} with one vocabulary, got {languages[0].vocabulary} and, at place {place}, "
                f"{language.vocabulary}; build them over the same tokens in the same order"
            )
    return languages[0].vocabulary


def shared_channel(languages: Sequence[Language], what: str) -> Channel | None:
    """Return the target channel that the languages have in common.

    Raises:
        ValueError: if two channels differ, since the target would then depend on more than the masked token.
    """
    channels = [language.target_channel() for language in languages]
    for place, channel in enumerate(channels):
        if channel != channels[0]:
            raise ValueError(
                f"expected {what} with one target channel, got another one at place {place}: the target would depend "
                "on more than the masked token; combine noiseless languages and put TargetNoise around the result"
            )
    return channels[0]


def resized(tokens: Int64[Tensor, "sentence position"], length: int) -> Int64[Tensor, "sentence size"]:
    """Return sentences padded on the right, or with padding cut off, to a length."""
    return torch.nn.functional.pad(tokens, (0, length - tokens.shape[1]), value=PAD)


def side_by_side(languages: Sequence[Language]) -> nx.Graph | None:
    """Return the languages' graphs beside each other, the nodes of the i-th renamed (i, node), with group i.

    None if one of them has no graph. Directed if all are. Positions `at` are dropped: they would coincide.
    """
    graphs = [language.graph() for language in languages]
    shown = [graph for graph in graphs if graph is not None]
    if len(shown) < len(graphs):
        return None
    whole = nx.DiGraph() if all(graph.is_directed() for graph in shown) else nx.Graph()
    for i, graph in enumerate(shown):
        for node, data in graph.nodes(data=True):
            whole.add_node((i, node), **{key: value for key, value in data.items() if key != "at"} | {"group": i})
        whole.add_edges_from(((i, a), (i, b), data) for a, b, data in graph.edges(data=True))
    return whole


def log_joint(language: Language, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
    """Return log P(x_{−t}, v) for every clean token v; −∞ throughout for an impossible context.

    With the language's own conditionals, log P(x_{−t}) = log P(x_{−t}, v) − log p(v | x_{−t}) at the likeliest v: one
    log-probability for each context. Where some context is impossible, or the conditionals pass through a target
    channel, one for each completion.
    """
    positions = language.check_contexts(contexts)
    if language.target_channel() is None:
        try:
            log_conditional = language.log_masked_conditional(contexts)
        except ImpossibleContextError:
            return _log_joint_of_completions(language, contexts, positions)
        log_best, best = log_conditional.max(1, keepdim=True)
        log_prob = language.log_prob(contexts.scatter(1, positions[:, None], best))
        return log_conditional + (log_prob[:, None] - log_best)
    return _log_joint_of_completions(language, contexts, positions)


def log_joints(
    language: Language, sentences: Int64[Tensor, "sentence position"]
) -> Float[Tensor, "sentence position token"]:
    """Return log P(x_{−t}, v) for every position and clean token v; −∞ at padding and where it is impossible.

    One pass for the sentences of positive probability, log P(x) − log p(x_t | x_{−t}) + log p(v | x_{−t}). A sentence
    of probability zero may still have possible contexts: each of its c · T neighbours is asked.
    """
    log_prob = language.log_prob(sentences)
    shape = (*sentences.shape, language.n_tokens)
    found = torch.full(shape, -math.inf, dtype=torch.float64, device=sentences.device)
    inside = log_prob > -math.inf if language.target_channel() is None else torch.zeros_like(log_prob).bool()
    if inside.any():
        log_conditional = language.log_masked_conditionals(sentences[inside])
        pad = (sentences[inside] == PAD)[:, :, None]
        own = log_conditional.gather(2, sentences[inside].clamp(min=0)[:, :, None])
        scale = log_prob[inside, None, None] - own
        found[inside] = torch.where(pad, -math.inf, log_conditional + scale.masked_fill(pad, 0.0))
    for t in range(language.length):
        rows = (~inside & (sentences[:, t] != PAD)).nonzero()[:, 0]
        if len(rows):
            positions = torch.full_like(rows, t)
            found[rows, t] = _log_joint_of_completions(language, mask(sentences[rows], positions), positions)
    return found


def _log_joint_of_completions(
    language: Language, contexts: Int64[Tensor, "context position"], positions: Int64[Tensor, " context"]
) -> Float[Tensor, "context token"]:
    size = max(1, CHUNK // (language.n_tokens * language.length))
    found = torch.empty(len(contexts), language.n_tokens, dtype=torch.float64, device=contexts.device)
    for start in range(0, len(contexts), size):
        part = slice(start, start + size)
        completions = fill(contexts[part], positions[part], language.n_tokens)
        found[part] = language.log_prob(completions.flatten(0, 1)).reshape(completions.shape[:2])
    return found
