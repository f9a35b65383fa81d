"""Hidden Markov languages."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from synthetic.hmm import HMM
from synthetic.testing.strategies.steady import steady


def hmm_languages(max_states: int = 3, max_tokens: int = 3, max_length: int = 4) -> st.SearchStrategy[HMM]:
    """Draw a hidden Markov language: any zeros, entries down to 1e-160, fixed or varying length."""
    weight = st.sampled_from([0.0, 1.0, 2.0, 5.0, 0.3, 1e-3, 1e-160])

    def rows(n: int, columns: int) -> st.SearchStrategy[Tensor]:
        row = st.lists(weight, min_size=columns, max_size=columns).filter(any)
        return st.lists(row, min_size=n, max_size=n).map(lambda table: torch.tensor(table, dtype=torch.float64))

    def models(shape: tuple[int, int, int]) -> st.SearchStrategy[HMM]:
        states, tokens, length = shape
        start, law = rows(1, states).map(lambda table: table[0]), rows(1, length).map(lambda table: table[0])
        return st.tuples(rows(states, states), rows(states, tokens), start, st.just(length) | law).map(
            steady(lambda parameters: HMM.normalised(*parameters))
        )

    sizes = (st.integers(1, max_states), st.integers(1, max_tokens), st.integers(1, max_length))
    return st.tuples(*sizes).flatmap(models)
