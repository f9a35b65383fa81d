"""Families of random languages: the population that an empirical claim is about, one downstream task each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch

from synthetic import DownstreamTask, Language
from synthetic.autoregressive import Corpus, NGram, NGramLanguage, python_corpus
from synthetic.catalogue import ready_made
from synthetic.combinators import Mixture
from synthetic.hmm import HMM, block_hmm, dirichlet_hmm, renamed, topic_language, zipf_topics
from synthetic.hmm.topics import random_renamings
from synthetic.pcfg import PCFG, layered_grammar, read_plain
from verify.networks import Network, build
from verify.training import ContextTable, table_if_small

LEARNABLE = 0.1
"""Least learnable gap H(E p*) − L*, in nats, of a language of a family: below it there is next to nothing to learn."""

ATTEMPTS = 1000

AUTHORS_GRAMMAR = "FLATPROOF_AUTHORS_GRAMMAR"
"""Environment variable that names the file of the paper's grammar, which the project does not ship."""


class NoGrammarError(RuntimeError):
    """The file of a grammar is asked for and not named."""


@dataclass(frozen=True)
class Family:
    """A law of random languages of one shape.

    A language is drawn again until it uses all its tokens and its learnable gap is at least `LEARNABLE` (where it can
    be written out; a larger language is taken as it is).

    Attributes:
        name: of the family.
        construct: seed ↦ language, before anything is rejected.
        n_tokens: c of every language.
        task: name of the downstream task.
        padded: whether sentences differ in length.
        network: the architecture that is trained on it.
    """

    name: str
    construct: Callable[[np.random.Generator], Language]
    n_tokens: int
    task: str
    padded: bool
    network: Literal["transformer", "lstm"] = "transformer"

    def draw(self, seed: int) -> tuple[Language, ContextTable | None]:
        """Return a language of the family with its contexts, or None where they are too many to write out.

        Raises:
            ValueError: no language in 1000 draws has the tokens and the gap.
        """
        generator = np.random.default_rng(seed)
        for _ in range(ATTEMPTS):
            language = self.construct(generator)
            if language.n_tokens != self.n_tokens:
                continue
            table = table_if_small(language)
            if table is None or table.unigram_entropy - table.entropy_floor >= LEARNABLE:
                return language, table
        raise ValueError(
            f"expected a language of {self.n_tokens} tokens with a learnable gap of {LEARNABLE} nats among {ATTEMPTS} "
            f"of family {self.name}, got none; its construction is too nearly uniform"
        )

    def task_of(self, language: Language) -> DownstreamTask:
        return language.downstream[self.task]

    def networks(
        self,
        length: int,
        *,
        width: int,
        layers: int,
        heads: int,
        generators: Sequence[torch.Generator],
        initial_scale: float = 1.0,
    ) -> Network:
        """Return a stack of networks before training, one per generator, for languages of the family.

        Width counts the features of a final state, of both directions together in an LSTM, which has no heads.
        """
        config: dict[str, Any] = {
            "kind": self.network,
            "n_tokens": self.n_tokens,
            "length": length,
            "width": width,
            "layers": layers,
            "padded": self.padded,
            "initial_scale": initial_scale,
        }
        if self.network == "transformer":
            config |= {"heads": heads, "mlp_ratio": 2}
        return build(config, (len(generators),), generators)


def _torch(generator: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(generator.integers(2**63)))


def _small_hmm(generator: np.random.Generator) -> Language:
    return block_hmm(_torch(generator), 6, 6, 5, blocks=3, leave=0.1, concentration=0.3, emission_concentration=0.3)


def _small_pcfg(generator: np.random.Generator) -> Language:
    grammar = layered_grammar(generator, roots=3, levels=(4, 4), terminals=6, rules=3, words=2, leaf_words=3, stop=0.15)
    return PCFG(grammar, 4)


def _topics(generator: np.random.Generator) -> HMM:
    # Three rankings at exponent 1 leave less than LEARNABLE to learn.
    return zipf_topics(_torch(generator), 3, 6, 5, exponent=2.0)


def _renamed_topics(generator: np.random.Generator) -> Language:
    return renamed(_topics(generator), random_renamings(_torch(generator), 5, 6))


def _unigrams(generator: np.random.Generator) -> Language:
    return topic_language(dirichlet_hmm(_torch(generator), 3, 6, emission_concentration=0.3).emission, 5)


def _blocks(generator: np.random.Generator) -> Language:
    return block_hmm(_torch(generator), 6, 6, 5, blocks=3, leave=0.0, concentration=0.3, emission_concentration=0.3)


def _medium_hmm(generator: np.random.Generator) -> Language:
    return block_hmm(_torch(generator), 8, 12, 8, blocks=4, leave=0.1, concentration=0.3, emission_concentration=0.3)


def _medium_pcfg(generator: np.random.Generator) -> Language:
    grammar = layered_grammar(
        generator,
        roots=4,
        levels=(4, 4, 4),
        terminals=12,
        rules=2,
        words=1,
        leaf_words=2,
        stop=0.1,
        concentration=2.0,
        ambiguity=0.5,
    )
    return PCFG(grammar, 8)


def _medium_brackets(_: np.random.Generator) -> Language:
    return ready_made("nested")(0, T=8, k=3, D=3)


def _paper_hmm(generator: np.random.Generator) -> Language:
    return block_hmm(_torch(generator), 100, 200, 16, blocks=10)


def _authors_shape(generator: np.random.Generator) -> Language:
    return PCFG(layered_grammar(generator), 16)


def _authors(_: np.random.Generator) -> Language:
    """Return the language of the paper's own grammar.

    Raises:
        NoGrammarError: its file is not named.
    """
    path = os.environ.get(AUTHORS_GRAMMAR)
    if not path:
        raise NoGrammarError(
            f"expected the path of the authors' grammar in {AUTHORS_GRAMMAR}, got none; set it to the file they "
            "released, or take family pcfg-authors, random grammars of its shape"
        )
    return _grammar_in(path)


@lru_cache(maxsize=1)
def _grammar_in(path: str) -> Language:
    # Their probabilities are rounded, so that they do not sum to one.
    return PCFG(read_plain(path, renormalise=True), 16)


def _nested_brackets(_: np.random.Generator) -> Language:
    return ready_made("nested")(0, T=16, k=4, D=4)


@lru_cache
def _texts(tokens: int, length: int) -> Language:
    """Return an even mixture of bigram models of two texts that ship with Python: its reference, its docstrings."""
    parts = [python_corpus([source]) for source in ("topics", "docstrings")]
    words = Corpus(tuple(chain.from_iterable(part.paragraphs for part in parts)), "both").vocabulary(tokens)
    models = [NGram.fit(part.encode(words), tokens, 2) for part in parts]
    return Mixture([NGramLanguage(model, words, length) for model in models], (0.5, 0.5))


def _evenly_mixed(family: Family) -> Callable[[np.random.Generator], Language]:
    """Return the construction of ½P₁ + ½P₂, P₁ and P₂ two independent languages of a family."""

    def construct(generator: np.random.Generator) -> Language:
        parts = [family.draw(int(seed))[0] for seed in generator.integers(2**63, size=2)]
        # Grammars number their words as they first use them; in a mixture a number has to be the same word.
        alike = [PCFG(part.grammar.alphabetical(), part.T) if isinstance(part, PCFG) else part for part in parts]
        return Mixture(alike, (0.5, 0.5))

    return construct


_SMALL = (
    Family("hmm", _small_hmm, 6, "hidden-state-at-3", padded=False),
    Family("pcfg", _small_pcfg, 6, "root", padded=True),
)
MIXTURES = tuple(
    replace(part, name=f"{part.name}-mixture", construct=_evenly_mixed(part), task="component") for part in _SMALL
)
"""Two languages at once, each a source of its own; the downstream task is to tell which a sentence comes from."""

SYMMETRIES = (
    Family("topics", _topics, 6, "mixture-component", padded=False),
    Family("topics-renamed", _renamed_topics, 6, "mixture-component", padded=False),
    Family("unigrams", _unigrams, 6, "mixture-component", padded=False),
    Family("blocks", _blocks, 6, "mixture-component", padded=False),
    Family("blocks-state", _blocks, 6, "hidden-state-at-3", padded=False),
)
"""Small languages that do or do not order their words. topics: a sentence has one of three Zipf laws of exponent 2,
each with a ranking of its own; topics-renamed: the same with the tokens renamed at random at every position; unigrams:
one of three random laws. blocks: a hidden chain that never leaves one of three blocks of two states; the task is the
block, or the state in the middle. The share that a bag of words explains (`synthetic.catalogue.exchangeability`) is the
declared index of symmetry: it was fixed with these and the small ones in view, before a network was trained on them."""

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            *_SMALL,
            *MIXTURES,
            *SYMMETRIES,
            Family("hmm-medium", _medium_hmm, 12, "hidden-state-at-6", padded=False),
            Family("pcfg-medium", _medium_pcfg, 12, "first-4", padded=True),
            Family("brackets-medium", _medium_brackets, 6, "open-type", padded=False),
            Family("text-medium", lambda _: _texts(32, 8), 32, "component", padded=False),
            Family("hmm-lstm", _small_hmm, 6, "hidden-state-at-3", padded=False, network="lstm"),
            Family("hmm-lstm-medium", _medium_hmm, 12, "hidden-state-at-6", padded=False, network="lstm"),
            Family("hmm-paper", _paper_hmm, 200, "hidden-state-at-6", padded=False),
            Family("pcfg-authors", _authors_shape, 200, "root", padded=True),
            Family("authors", _authors, 200, "root", padded=True),
            Family("brackets", _nested_brackets, 8, "open-type", padded=False),
            Family("text", lambda _: _texts(200, 16), 200, "component", padded=False),
        )
    }
)
"""By name: two small ones whose contexts are written out, and mixtures of two languages of each; larger ones, for
networks of twice the width; two of the paper's sizes and shapes (second-hand). hmm-lstm and hmm-lstm-medium have the
laws of hmm and hmm-medium, and LSTMs in place of transformers. The paper's own grammar (from a file that the
environment names), nested brackets with a noisy target, and two texts that ship with Python and are to be told apart,
are one language each, so that their replicates differ in networks and examples only."""
