"""Languages on graphs: signs that agree or disagree with their neighbours.

`token_graph`: two tokens, interactions of any order (Ising, parities)
`from_networkx`: one on a networkx graph
`elimination`: the partition function, samples and marginals where the treewidth is small
"""

from synthetic.graphs.elimination import TreewidthError
from synthetic.graphs.from_networkx import from_networkx
from synthetic.graphs.token_graph import TokenGraph

__all__ = ["TokenGraph", "TreewidthError", "from_networkx"]
