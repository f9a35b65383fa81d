"""Pictures of a language's structure: its graph as SVG (needs matplotlib, the extra `draw`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx

from synthetic.language import Language

LABELLED = 80
"""Nodes above which a picture carries no labels: they would cover it."""


class DrawingError(ValueError):
    """There is nothing to draw, or nothing to draw it with."""


def draw(language: Language, path: str | Path) -> nx.Graph:
    """Draw `language.graph()` as an SVG file and return the graph; the same language gives the same bytes.

    Node areas, colours and edge widths follow the attributes that `Language.graph` documents. Positions come from
    stress minimisation on the hop distance, or from the attribute `at` of the nodes where all of them have one.

    Raises:
        DrawingError: if the language has no structure to show, `path` is no .svg, or matplotlib is missing.
    """
    path = Path(path)
    if path.suffix != ".svg":
        raise DrawingError(f"expected a file name ending in .svg, got {path}; pictures are SVG")
    graph = language.graph()
    if graph is None:
        raise DrawingError(f"expected a language with a graph, got {language!r}, which has no structure to draw")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DrawingError("expected matplotlib, found none; install it with: pip install 'flatproof[draw]'") from error
    # Text stays text: smaller, searchable, and independent of which fonts the machine has.
    with mpl.rc_context({"svg.hashsalt": "flatproof", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, 9))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        _draw(graph, axes)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": repr(language)[:200]})
    return graph


def _positions(graph: nx.Graph) -> dict[Any, Any]:
    at = nx.get_node_attributes(graph, "at")
    if len(at) == len(graph):
        return dict(at)
    # Disconnected parts have infinite distance: an invisible hub holds them together.
    whole = nx.Graph((u, v) for u, v, *_ in graph.edges)
    whole.add_nodes_from(graph)
    parts = list(nx.connected_components(whole))
    hub = object()
    if len(parts) > 1:
        whole.add_edges_from((hub, max(part, key=whole.degree)) for part in parts)
    distance = {u: {v: float(far) for v, far in row.items()} for u, row in nx.all_pairs_shortest_path_length(whole)}
    found: dict[Any, Any] = nx.kamada_kawai_layout(whole, dist=distance)
    found.pop(hub, None)
    return found


def _draw(graph: nx.Graph, axes: Any) -> None:
    position = _positions(graph)
    crowd = min(1.0, (30 / max(1, len(graph))) ** 0.5)
    sizes = [crowd * (150 + 1500 * graph.nodes[v].get("weight", 0.3)) for v in graph]
    groups = [graph.nodes[v].get("group", 0) % 12 for v in graph]
    widths = [crowd * (0.3 + 3.2 * w) for _, _, w in graph.edges(data="weight", default=0.3)]
    # Weak edges fade, so that many of them do not hide the strong ones.
    alphas = [0.15 + 0.75 * min(1.0, max(0.0, w)) for _, _, w in graph.edges(data="weight", default=0.3)]
    options: dict[str, Any] = {"ax": axes, "pos": position}
    arrows: dict[str, Any] = (
        {"arrowsize": 12 * crowd, "connectionstyle": "arc3,rad=0.08"} if graph.is_directed() else {}
    )
    nx.draw_networkx_edges(
        graph, width=widths, alpha=alphas, edge_color="#33415c", node_size=sizes, **arrows, **options
    )
    nx.draw_networkx_nodes(
        graph, node_size=sizes, node_color=groups, cmap="Set3", vmin=0, vmax=11, edgecolors="#444444", **options
    )
    if len(graph) <= LABELLED:
        labels = {v: str(graph.nodes[v].get("label", v)) for v in graph}
        nx.draw_networkx_labels(graph, labels=labels, font_size=8 + 3 * crowd, **options)
        names = {(edge[0], edge[1]): data["label"] for *edge, data in graph.edges(data=True) if "label" in data}
        nx.draw_networkx_edge_labels(graph, edge_labels=names, font_size=8, **options)
