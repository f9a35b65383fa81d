"""Property and error tests of the registry: claims form a directed acyclic graph, and statuses are computed."""

from __future__ import annotations

import networkx as nx
import pytest
import sympy as sp

from theory import Claim, Parameter, claims, closed_form
from theory.claims import CLAIMS, RegistryError, dependency_graph, find, register
from theory.kernel import Derivation

x = sp.Symbol("x", real=True)


def derive() -> Derivation:
    d = Derivation("made-up")
    d.identity("square", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    return d.conclude("square")


def claim(name: str, *uses: str) -> Claim:
    return Claim(name, "a title", "1 = 1", (), uses, "ours", derive)


def test_property_the_registry_is_a_directed_acyclic_graph_of_the_ten_claims() -> None:
    assert list(register(CLAIMS.values())) == list(CLAIMS)
    assert nx.is_directed_acyclic_graph(dependency_graph(CLAIMS))
    assert {
        "noise-covariance",
        "plateau",
        "slow-flow",
        "product-model",
        "flattest-pairs",
        "transfer-pairs",
        "transfer-bound",
        "flattest-brackets",
        "transfer-brackets",
        "sgd-reaches-flattest",
    } <= set(CLAIMS)


def test_property_every_claim_says_what_it_is() -> None:
    for name, each in CLAIMS.items():
        assert name == each.id
        assert each.title
        assert each.statement
        assert each.hypotheses
        assert each.source


@pytest.mark.parametrize("name", CLAIMS)
def test_property_lemmas_come_from_the_claims_that_are_declared(name: str) -> None:
    ancestry = CLAIMS[name].derivation.ancestry() & set(CLAIMS)
    assert ancestry <= nx.ancestors(dependency_graph(CLAIMS), name)


def test_error_duplicates() -> None:
    with pytest.raises(RegistryError, match="two claims are called a"):
        register([claim("a"), claim("a")])


def test_error_dangling_ids() -> None:
    with pytest.raises(RegistryError, match="claims use nowhere"):
        register([claim("a", "nowhere"), claim("b", "a")])


@pytest.mark.parametrize("loop", [[("a", "a")], [("a", "b"), ("b", "a")], [("a", "b"), ("b", "c"), ("c", "a")]])
def test_error_cycles(loop: list[tuple[str, str]]) -> None:
    with pytest.raises(RegistryError, match="cycle"):
        register([claim(*edge) for edge in loop])


def test_error_unknown_ids_list_the_valid_ones() -> None:
    with pytest.raises(KeyError, match="product-model"):
        find("product")
    assert find("product-model") is CLAIMS["product-model"]


def test_property_the_registry_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        claims.CLAIMS["new"] = claim("new")  # type: ignore[index]


def test_closed_form_of_a_claim() -> None:
    parameter = Parameter("x", x, "any number")
    made = Claim("made-up", "t", "s", (), (), "ours", derive, {"": closed_form("square", "q", parameter)})
    assert made.status == "derived"
    assert made.predict(x=2.0) == 9.0
    with pytest.raises(KeyError, match=r"it has \(main\)"):
        made.formula("other")
    assert made.derivation is made.derivation
