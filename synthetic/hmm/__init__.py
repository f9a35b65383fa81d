"""Hidden Markov models: exact conditionals by forward and backward passes.

`language`: the model `HMM`
`random`: random models, by default of the paper's size
`tasks`: what a sentence says about a hidden state
`inference`, `exact`: how it is computed, in float64 and in Fractions
"""

from synthetic.hmm.language import HMM
from synthetic.hmm.random import block_hmm, dirichlet_hmm, sticky_hmm

__all__ = ["HMM", "block_hmm", "dirichlet_hmm", "sticky_hmm"]
