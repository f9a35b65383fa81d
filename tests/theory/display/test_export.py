"""Property tests of a derivation as JSON, as LaTeX and in a notebook."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import sympy as sp

from theory.claims.noise.product_model import CLAIM
from theory.display import as_json, as_latex
from theory.kernel import Derivation, Model, Terms

x, y = sp.symbols("x y", real=True)


def derivation() -> Derivation:
    d = Derivation("sample")
    d.assume("h", sp.Ge(x, 0), "θ ∈ Γ_0 & more: 100% {sure}")
    d.cite("deep", "a theorem", "A. Author (1900)")
    d.identity("i", sp.Eq((x**2 - y**2) / (x - y), x + y), "cancel x − y")
    d.inequality("square", sp.Ge(x**2 + y**2, 2 * x * y), "a square", Terms(((x - y) ** 2,)))
    d.inequality("above", sp.Gt(x + 1, 0), "h, and 1", Terms((sp.S.One,), using={"h": sp.S.One}))
    model = Model("two numbers", {x: 3, y: 2})
    return d.conclude("i", [model, model.control("h", "above", {x: -2})])


def test_property_json_is_plain_and_complete() -> None:
    d = derivation()
    data = json.loads(json.dumps(as_json(d)))
    assert (data["claim"], data["status"], data["conclusion"]) == ("sample", "derived given [deep]", "i")
    assert [step["name"] for step in data["steps"]] == [step.name for step in d.steps]
    assert [step["checked"] for step in data["steps"]] == [False, False, True, True, True]
    assert data["steps"][2]["statement"] == "(x**2 - y**2)/(x - y) = x + y"
    assert data["conditions"] == ["Ne(x - y, 0)"]
    assert data["bridges"] == []
    assert [(m["name"], m["breaks"], m["hypotheses"]) for m in data["models"]] == [
        ("two numbers", "", {"h": "holds"}),
        ("two numbers, without h", "h", {"h": "fails"}),
    ]
    assert data["citations"] == [{"name": "deep", "reference": "A. Author (1900)"}]


def test_property_latex_escapes_text_and_balances() -> None:
    latex = as_latex(derivation())
    assert r"\& more: 100\% \{sure\}" in latex
    assert latex.count(r"\item") == len(derivation().steps)
    assert latex.count(r"\[") == latex.count(r"\]")
    assert "Holds in: two numbers; without it above fails." in latex
    assert latex.isascii()


def test_property_latex_of_a_claim_is_ascii_and_compiles_where_latex_is_installed(tmp_path: Path) -> None:
    latex = as_latex(CLAIM.derivation)
    assert latex.isascii()
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("no pdflatex on this machine")
    source = rf"\documentclass{{article}}\usepackage{{amsmath,amssymb}}\begin{{document}}{latex}\end{{document}}"
    (tmp_path / "d.tex").write_text(source)
    subprocess.run([compiler, "-halt-on-error", "d.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_property_notebook_representations() -> None:
    d = derivation()
    html = d._repr_html_()
    assert html.count("<tr>") == len(d.steps) + 1
    assert "θ ∈ Γ_0 &amp; more" in html
    assert d["square"]._repr_latex_() == "$\\displaystyle x^{2} + y^{2} \\geq 2 x y$"
    assert d["deep"]._repr_latex_() == d["deep"].statement
    assert repr(d["square"]).startswith("✓ square [inequality]")
    assert repr(d["h"]).startswith("· h")
    assert repr(d["deep"]).startswith("※ deep")


def test_property_every_letter_of_the_claims_has_a_form_in_latex() -> None:
    from theory.claims import CLAIMS

    for claim in CLAIMS.values():
        assert as_latex(claim.derivation).isascii(), claim.id
