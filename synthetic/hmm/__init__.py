"""Hidden Markov models: exact conditionals by forward and backward passes.

`language`: the model `HMM`
`random`: random models, by default of the paper's size
`mixture`: several models as one
`topics`: one topic a sentence, order-free; tokens renamed by place
`tasks`: what a sentence says about its hidden states
`chains`: stationary law, reversal and picture of the hidden chain
`inference`, `exact`: how it is computed, in float64 and in Fractions
"""

from synthetic.hmm.language import HMM
from synthetic.hmm.mixture import mixture_of_hmms
from synthetic.hmm.random import block_hmm, dirichlet_hmm, sticky_hmm
from synthetic.hmm.topics import renamed, topic_language, zipf_topics

__all__ = [
    "HMM",
    "block_hmm",
    "dirichlet_hmm",
    "mixture_of_hmms",
    "renamed",
    "sticky_hmm",
    "topic_language",
    "zipf_topics",
]
