"""The graph of claims as text: DOT for Graphviz, Mermaid for a page.

The colour of a node tells the status that the kernel computed: green when every step is checked, blue when it also
rests on a cited theorem, yellow when a step is a conjecture.
"""

from __future__ import annotations

from collections.abc import Mapping

from theory import Claim

_COLOURS = {"derived": "#d3f0d3", "derived given": "#d6e6f7", "conjecture": "#fdf0c4"}


def _colour(claim: Claim) -> str:
    status = claim.status
    return next(colour for prefix, colour in reversed(_COLOURS.items()) if status.startswith(prefix))


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
