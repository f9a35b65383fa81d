"""Languages on graphs: tokens that agree or disagree with their neighbours.

`token_graph`: two tokens, interactions of any order (Ising, parities)
`potts`: many tokens, pairs that like to be equal
`from_networkx`: either of them from a networkx graph, a table of interactions, or as a noisy parity
`markov_field`: what they share, and the three samplers: elimination, coupling from the past, Gibbs
"""

from synthetic.graphs.coupling import CouplingError
from synthetic.graphs.elimination import TreewidthError
from synthetic.graphs.from_networkx import (
    from_networkx,
    hypergraph,
    pair_language_graph,
    parity_graph,
    potts_from_networkx,
)
from synthetic.graphs.markov_field import MarkovField
from synthetic.graphs.potts import PottsGraph
from synthetic.graphs.token_graph import TokenGraph

__all__ = [
    "CouplingError",
    "MarkovField",
    "PottsGraph",
    "TokenGraph",
    "TreewidthError",
    "from_networkx",
    "hypergraph",
    "pair_language_graph",
    "parity_graph",
    "potts_from_networkx",
]
