"""Small languages with and without a symmetry: what does the order of the words matter to what can be learnt?"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import permutations

import networkx as nx
import numpy as np
import torch

from synthetic import Language
from synthetic.closed_form import NestedBrackets, TableLanguage
from synthetic.combinators import Mixture, TargetNoise, symmetric_channel
from synthetic.graphs import potts_from_networkx
from synthetic.hmm import HMM, block_hmm, dirichlet_hmm, mixture_of_hmms, renamed, topic_language, zipf_topics
from synthetic.hmm.topics import random_renamings
from synthetic.tokens import torch_generator
from verify.cohorts.families.family import Family
from verify.cohorts.families.languages import texts

EXPONENT = 1.25
"""Of Zipf's law: the least multiple of ¼ at which most draws of three rankings leave 0.1 nats to learn."""


def _topics(generator: np.random.Generator) -> Language:
    return zipf_topics(torch_generator(generator), 3, 6, 5, exponent=EXPONENT)


def _strong_topics(generator: np.random.Generator) -> HMM:
    return zipf_topics(torch_generator(generator), 3, 6, 5, exponent=2.0)


_TOPICS = Family("topics", _topics, 6, "mixture-component", padded=False)


def _renamed_topics(generator: np.random.Generator) -> Language:
    # A language of the family above: its learnable gap is enough before it is renamed.
    language, _ = _TOPICS.draw(int(generator.integers(2**63)))
    assert isinstance(language, HMM)
    return renamed(language, random_renamings(torch_generator(generator), 5, 6))


def _unigrams(generator: np.random.Generator) -> Language:
    return topic_language(dirichlet_hmm(torch_generator(generator), 3, 6, emission_concentration=0.3).emission, 5)


def _blocks(generator: np.random.Generator) -> Language:
    return block_hmm(
        torch_generator(generator), 6, 6, 5, blocks=3, leave=0.0, concentration=0.3, emission_concentration=0.3
    )


def _drifting(generator: np.random.Generator) -> Language:
    move = torch.full((3, 3), 0.1, dtype=torch.float64) + 0.7 * torch.eye(3, dtype=torch.float64)
    return replace(_strong_topics(generator), transition=move, groups=None)


def _bigrams(generator: np.random.Generator) -> Language:
    drawn = [dirichlet_hmm(torch_generator(generator), 6, 6, concentration=0.3) for _ in range(3)]
    chains = [HMM(each.transition, torch.eye(6, dtype=torch.float64), each.start, 5) for each in drawn]
    return mixture_of_hmms(chains, torch.full((3,), 1 / 3, dtype=torch.float64))


def _cycles(generator: np.random.Generator) -> Language:
    drawn = dirichlet_hmm(torch_generator(generator), 6, 6, emission_concentration=0.3)
    move = 0.8 * torch.eye(6, dtype=torch.float64).roll(1, 1) + 0.2 * torch.eye(6, dtype=torch.float64)
    return HMM(move, drawn.emission, torch.full((6,), 1 / 6, dtype=torch.float64), 5)


def _anagrams(generator: np.random.Generator) -> Language:
    words = tuple(f"w{v}" for v in range(6))
    orders = [set(permutations(generator.integers(6, size=5).tolist())) for _ in range(3)]
    parts = [TableLanguage(words, dict.fromkeys(sorted(rows), 1)) for rows in orders]
    return TargetNoise(Mixture(parts, [Fraction(1, 3)] * 3), symmetric_channel(6, 0.9))


def _potts_all(generator: np.random.Generator) -> Language:
    graph = nx.complete_graph(5)
    nx.set_node_attributes(graph, generator.normal(0, 0.5, 6).tolist(), "field")
    return potts_from_networkx(graph, 6, float(generator.uniform(0.5, 1.5)), "field")


def _potts_path(generator: np.random.Generator) -> Language:
    return potts_from_networkx(nx.path_graph(5), 6, _wide, _narrow, generator)


def _wide(generator: np.random.Generator) -> float:
    return float(generator.normal(0, 2.0))


def _narrow(generator: np.random.Generator) -> float:
    return float(generator.normal(0, 0.5))


def _nested(_: np.random.Generator) -> Language:
    return TargetNoise(NestedBrackets(6, 2, 3), symmetric_channel(4, 0.9))


SYMMETRIES = (
    _TOPICS,
    Family("topics-strong", _strong_topics, 6, "mixture-component", padded=False),
    Family("topics-renamed", _renamed_topics, 6, "mixture-component", padded=False),
    Family("unigrams", _unigrams, 6, "mixture-component", padded=False),
    Family("blocks", _blocks, 6, "mixture-component", padded=False),
    Family("blocks-state", _blocks, 6, "hidden-state-at-3", padded=False),
)
"""Small languages that do or do not order their words. topics: a sentence has one of three Zipf laws, each with a
ranking of its own; topics-strong: the same of exponent 2; topics-renamed: languages of topics, their tokens renamed at
random at every position; unigrams: one of three random laws. blocks: a hidden chain that never leaves one of three
blocks of two states; the task is the block, or the state in the middle. The share that a bag of words explains
(`synthetic.catalogue.exchangeability`) is the declared index of symmetry: it was fixed with these and the small ones in
view, before a network was trained on them."""

PLACES = (
    replace(_TOPICS, name="topics-fixed-places", positions="fixed"),
    replace(_TOPICS, name="topics-no-places", positions="none"),
)
"""The topics, for transformers whose encodings of positions are not trained, and for some that have none: these do not
see the order, whatever is trained, so that no flatness can select those that do not."""

LATER = (
    Family("drifting", _drifting, 6, "hidden-state-at-3", padded=False),
    Family("bigrams", _bigrams, 6, "mixture-component", padded=False),
    Family("cycles", _cycles, 6, "hidden-state-at-3", padded=False),
    Family("anagrams", _anagrams, 6, "component", padded=False),
    Family("potts-all", _potts_all, 6, "plurality", padded=False),
    Family("potts-path", _potts_path, 6, "plurality", padded=False),
    Family("nested", _nested, 4, "open-type", padded=False),
    Family("text-small", lambda _: texts(6, 5), 6, "component", padded=False),
)
"""Further ones, written after the index was fixed, to be predicted by it. drifting: strong topics that change with
probability 0.2 after each word; bigrams: one of three Markov chains; cycles: six hidden states in turn, each left with
probability 0.8; anagrams: the words of one of three bags in any order, with noise on the target; potts-all, potts-path:
tokens that like or dislike equal ones, in the whole sentence or next to them; nested: brackets of two types, with noise
on the target, and text-small: which of two texts, one language each."""
