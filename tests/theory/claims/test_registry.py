"""Property and error tests of the registry: claims form a directed acyclic graph, and statuses are computed."""

from __future__ import annotations

import networkx as nx
import pytest
import sympy as sp

from theory import Claim, Parameter, ParameterError, claims, closed_form
from theory.claims import CLAIMS, RegistryError, dependency_graph, find, register
from theory.kernel import Derivation

x = sp.Symbol("x", real=True)


def derive() -> Derivation:
    d = Derivation("made-up")
    d.identity("square", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    return d.conclude("square")


def claim(name: str, *uses: str) -> Claim:
    return Claim(name, "a title", "1 = 1", (), uses, "ours", derive)


CITED = {"slow-flow": ["katzenberger", "momentum-averages"], "product-model": ["katzenberger"]}
CONJECTURES = {
    "sgd-reaches-flattest": ["global"],
    "plateau-transformer": ["to-leading-order"],
    "noise-lowers-trace": ["a-tenth"],
    "same-loss-different-transfer": ["algorithms-differ"],
    "continued-training": ["gains"],
    "model-size": ["size-helps"],
    "algorithm": ["order"],
    "flatness-predicts": ["predicts"],
    "closeness-predicts": ["predicts", "opposite"],
    "flatness-mediates": ["mediates"],
    "noise-is-a-penalty": ["as-far"],
}
"""Pinned by name; the status of a claim that is not listed is held by its stored evidence."""
BRIDGES = {
    "slow-flow": ["third-derivatives"],
    "noise-balance": ["second-moment-queries", "second-moment-keys"],
}
UNCHECKED = {"hypothesis", "bridge", "definition", "citation", "conjecture"}


def test_property_the_registry_is_a_directed_acyclic_graph() -> None:
    assert list(register(CLAIMS.values())) == list(CLAIMS)
    assert nx.is_directed_acyclic_graph(dependency_graph(CLAIMS))
    assert {*CITED, *CONJECTURES} < set(CLAIMS)


@pytest.mark.parametrize("name", CLAIMS)
def test_property_a_claim_says_what_it_is_and_what_is_open(name: str) -> None:
    each = CLAIMS[name]
    assert name == each.id
    assert all((each.title, each.statement, each.hypotheses, each.source))
    assert each.derive.__module__ == f"theory.claims.{each.chapter}.{each.module}"
    derivation = each.derivation
    assert all(step.checked for step in derivation.steps if step.kind not in UNCHECKED)
    assert all(lemma.status == "derived" for lemma in derivation.lemmas if lemma.claim not in CLAIMS)
    conjectures = [step.name for step in derivation.steps if step.kind == "conjecture"]
    cited = [step.name for step in derivation.citations]
    assert conjectures == CONJECTURES.get(name, conjectures)
    given = f"derived given [{', '.join(CITED.get(name, cited))}]" if cited or name in CITED else "derived"
    up_to = f" up to [{', '.join(BRIDGES[name])}]" if name in BRIDGES else ""
    assert each.status == ("conjecture" if conjectures else given + up_to)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("noise-covariance", {"B": 1.5}, "integer"),
        ("flattest-pairs", {"d": 1, "m": 4, "alpha": 1.0}, "d = 1 is outside"),
        ("flattest-pairs", {"d": 3, "m": 1, "alpha": 1.0}, "m = 1 is outside"),
        ("flattest-pairs", {"d": 3, "m": 4, "alpha": -1.0}, "alpha = -1.0 is outside"),
        ("flattest-brackets", {"T": 5, "alpha": 1}, "T = 5"),
        ("flattest-brackets", {"T": 2, "alpha": 1}, "T = 2"),
        ("flattest-brackets", {"T": 4, "alpha": 0}, "alpha = 0"),
        ("transfer-pairs", {"n": 0}, "n = 0 is outside"),
        ("transfer-brackets", {"n": -1}, "n = -1"),
        ("transfer-brackets", {"k": 3}, "k"),
        ("transfer-bound", {"n": 1, "d": 1}, "d = 1 is outside"),
        ("transfer-bound", {"n": 1}, "missing parameter d"),
        ("trace-is-not-invariant", {"p": 1.0, "q": 1.0, "rest": 0.0, "c": 0.0}, "c = 0"),
        ("trace-is-not-invariant", {"p": -1.0, "q": 1.0, "rest": 0.0, "c": 1.0}, "p = -1"),
        ("trace-is-not-invariant", {"p": 1.0, "q": 1.0, "rest": -0.5, "c": 1.0}, "rest"),
        ("noise-lowers-trace", {"eta": 0.1, "B": 1, "h": 1.0, "t": 0.5}, "t = 0.5"),
        ("continued-training", {"eta": 0.1, "B": 1, "start": 0.0, "end": 1.0}, "start = 0"),
        ("model-size", {"c": 0}, "c = 0"),
        ("flatness-mediates", {"eta": 0.1, "B": 1, "beta": 1.0}, "beta = 1"),
    ],
)
def test_error_outside_the_domain(name: str, values: dict[str, float], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        CLAIMS[name].predict(**values)


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
    assert made.status == "without a model"
    assert made.predict(x=2.0) == 9.0
    with pytest.raises(KeyError, match=r"it has \(main\)"):
        made.formula("other")
    assert made.derivation is made.derivation
