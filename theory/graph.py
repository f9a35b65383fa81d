"""The graph of claims as text: DOT for Graphviz, Mermaid for a page.

The colour of a node tells the status that the kernel computed: green when every step is checked, blue when it also
rests on a cited theorem, orange when on a bridge, yellow when a step is a conjecture, grey when it has no model.
"""

from __future__ import annotations

from collections.abc import Mapping

from theory import Claim

_COLOURS = {
    "conjecture": "#fdf0c4", "without a model": "#e4e4e4", "up to": "#f9dcc0", "given": "#d6e6f7", "derived": "#d3f0d3",
}  # fmt: skip
"""By words of the status; the first that occurs decides."""


def _colour(claim: Claim) -> str:
    return next(colour for words, colour in _COLOURS.items() if words in claim.status)


def _edges(claims: Mapping[str, Claim]) -> list[tuple[str, str]]:
    return [(used, claim.id) for claim in claims.values() for used in claim.uses]


def dot(claims: Mapping[str, Claim]) -> str:
    """Return the graph in the DOT language, an arrow from each claim to those that rest on it."""
    lines = ["digraph claims {", "  rankdir=LR;", '  node [shape=box, style="filled,rounded", fontname="sans-serif"];']
    lines += [
        f'  "{claim.id}" [fillcolor="{_colour(claim)}", tooltip="{claim.title}: {claim.status}"];'
        for claim in claims.values()
    ]
    lines += [f'  "{used}" -> "{user}";' for used, user in _edges(claims)]
    return "\n".join([*lines, "}"])


def mermaid(claims: Mapping[str, Claim]) -> str:
    """Return the graph in Mermaid's flowchart language."""
    node = {claim_id: claim_id.replace("-", "_") for claim_id in claims}
    lines = ["flowchart LR"]
    lines += [f'  {node[claim_id]}["{claim_id}"]' for claim_id in claims]
    lines += [f"  {node[used]} --> {node[user]}" for used, user in _edges(claims)]
    lines += [f"  style {node[claim.id]} fill:{_colour(claim)},stroke:#555,color:#000" for claim in claims.values()]
    return "\n".join(lines)
