"""Incidence of interactions: every one in its place once, in few slots that are at least half full."""

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.graphs.incidence import incidence


@given(st.integers(1, 7), st.data())
@settings(max_examples=60, deadline=None)
def test_slots_hold_every_interaction_around_every_position_once(length: int, data: st.DataObject) -> None:
    edge = st.sets(st.integers(0, length - 1), min_size=1, max_size=4).map(lambda chosen: tuple(sorted(chosen)))
    scopes = data.draw(st.lists(edge, unique=True, max_size=10))
    positions = sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=1)))
    weights = [float(k + 1) for k in range(len(scopes))]
    found = incidence(length, scopes, weights, positions)
    assert sorted(found.positions.tolist()) == positions
    listed = set()
    for slot in found.slots:
        assert slot.weights.numel() <= max(length, slot.size)
        assert 2 * int((slot.weights > 0).sum()) >= slot.weights.numel()
        for place, term in (slot.weights > 0).nonzero().tolist():
            others = [i for i in slot.others[:, place, term].tolist() if i < length]
            row = (int(found.positions[place]), float(slot.weights[place, term]), tuple(sorted(others)))
            assert row not in listed
            listed.add(row)
    expected = {
        (t, weight, tuple(i for i in scope if i != t))
        for scope, weight in zip(scopes, weights, strict=True)
        for t in scope
        if t in positions
    }
    assert listed == expected
    for t in range(length):
        inside = t in positions
        assert int(found.place[t]) == (found.positions.tolist().index(t) if inside else len(positions))


@pytest.mark.parametrize(("graph", "slots"), [(nx.star_graph(999), 2), (nx.cycle_graph(50), 2), (nx.empty_graph(3), 0)])
def test_few_slots(graph: nx.Graph, slots: int) -> None:
    edges = list(graph.edges)
    found = incidence(len(graph), edges, [1.0] * len(edges), range(len(graph)))
    assert len(found.slots) == slots
    assert found.to(torch.device("cpu")) is found
