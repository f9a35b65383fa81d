"""Pictures: reproducible SVG that shows every node, and clear errors for what cannot be drawn."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import networkx as nx
import pytest

from synthetic.catalogue import DrawingError, draw
from synthetic.catalogue.drawing import LABELLED
from synthetic.closed_form import PairLanguage, TableLanguage

pytest.importorskip("matplotlib", reason="pictures need the extra `draw`")


class Shown(PairLanguage):
    shown: nx.Graph

    def graph(self) -> nx.Graph:
        return self.shown


def shown(graph: nx.Graph) -> Shown:
    language = Shown(2, 1.0)
    object.__setattr__(language, "shown", graph)
    return language


def texts(path: Path) -> set[str]:
    return {"".join(node.itertext()).strip() for node in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")}


def test_a_picture_shows_every_label_and_is_the_same_each_time(tmp_path: Path) -> None:
    graph = draw(PairLanguage(4, 1.5), tmp_path / "a.svg")
    draw(PairLanguage(4, 1.5), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert texts(tmp_path / "a.svg") == {"z1", "z2", "z3", "z4", "y", "0.75"}
    assert len(graph) == 6


@pytest.mark.parametrize(
    "graph",
    [
        nx.DiGraph([(0, 0), (0, 1), (1, 0)]),
        nx.empty_graph(1),
        nx.disjoint_union(nx.path_graph(3), nx.cycle_graph(4)),
        nx.MultiDiGraph([(0, 1), (0, 1)]),
    ],
    ids=["loops and both ways", "one node", "two parts", "parallel edges"],
)
def test_every_kind_of_graph_can_be_drawn(tmp_path: Path, graph: nx.Graph) -> None:
    draw(shown(graph), tmp_path / "g.svg")
    assert texts(tmp_path / "g.svg") == {str(v) for v in graph}


def test_positions_may_be_given_and_large_graphs_carry_no_labels(tmp_path: Path) -> None:
    graph = nx.path_graph(LABELLED + 1)
    nx.set_node_attributes(graph, {v: (v, 0) for v in graph}, "at")
    draw(shown(graph), tmp_path / "g.svg")
    assert not texts(tmp_path / "g.svg")


def test_what_cannot_be_drawn_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DrawingError, match=r"expected a file name ending in \.svg"):
        draw(PairLanguage(2, 1.0), tmp_path / "a.png")
    with pytest.raises(DrawingError, match="no structure to draw"):
        draw(TableLanguage(("a",), {(0,): 1}), tmp_path / "a.svg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DrawingError, match=r"pip install 'flatproof\[draw\]'"):
        draw(PairLanguage(2, 1.0), tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())
