"""A ready-made language on a graph (`synthetic.catalogue.registry`)."""

from __future__ import annotations

import networkx as nx
import numpy as np

from synthetic.graphs.from_networkx import from_networkx
from synthetic.language import Language


def token_graph(
    _: np.random.Generator, *, rows: int = 4, columns: int = 4, coupling: float = 0.4, field: float = 0.1
) -> Language:
    """Signs on a grid that align with their neighbours, the Ising model."""
    return from_networkx(nx.grid_2d_graph(rows, columns), coupling, field)
