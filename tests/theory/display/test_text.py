"""Property tests of a derivation in a terminal: it fits, it is mathematics, abbreviations are defined."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sympy as sp

from theory.claims import CLAIMS
from theory.display import as_text, prediction_as_text
from theory.display.layout import Layout, relations_of
from theory.display.printer import drawn, lines_of
from theory.kernel import Derivation, Model, Terms, logistic, logistic_slope

x, y, t = sp.symbols("x y t", real=True)
i, j, m, n = sp.symbols("i j m n", integer=True, positive=True)
w, q = sp.IndexedBase("w"), sp.IndexedBase("q")
f, g = sp.Function("f"), sp.Function("g")


def derivations() -> Iterator[Derivation]:
    """Every derivation of the project once, lemmas that are no claims included."""
    waiting = [claim.derivation for claim in CLAIMS.values()]
    found: dict[str, Derivation] = {}
    while waiting:
        derivation = waiting.pop()
        if derivation.claim not in found:
            found[derivation.claim] = derivation
            waiting += derivation.lemmas
    yield from found.values()


@pytest.mark.parametrize("width", [60, 80])
def test_property_every_derivation_fits_and_shows_no_code(width: int) -> None:
    for derivation in derivations():
        text = as_text(derivation, width)
        assert max(map(len, text.splitlines())) <= width, derivation.claim
        for code in ("Sum(", "Piecewise(", "Derivative(", "logistic", "**", "Eq("):
            assert code not in text, derivation.claim
        assert width < 80 or "↪" not in text, derivation.claim


def test_property_abbreviations_stand_for_what_was_there() -> None:
    abbreviated = 0
    for derivation in derivations():
        statements = [step.statement for step in derivation.steps if isinstance(step.statement, sp.Basic)]
        layout = Layout.of(statements, 53)
        for statement in statements:
            relations = relations_of(statement)
            short, definitions = layout.abbreviated(relations)
            abbreviated += len(definitions)
            for _, name, expr in reversed(definitions):
                short = [(sign, *(s and s.xreplace({name: expr}) for s in sides)) for sign, *sides in short]
            assert short == relations, derivation.claim
    assert abbreviated > 20


def sample() -> Derivation:
    d = Derivation("sample")
    d.assume("h", sp.Ge(x, 0), "assumed")
    d.cite("deep", "a theorem", "A. Author (1900)")
    d.identity("i", sp.Eq((x**2 - y**2) / (x - y), x + y), "cancel x − y")
    d.inequality("square", sp.Ge(x**2 + y**2, 2 * x * y), "a square", Terms(((x - y) ** 2,)))
    d.instance("seven", "square", {y: sp.Integer(7)}, "at one place")
    d.inequality("again", sp.Ge(2 * x**2 + 2 * y**2, 4 * x * y), "doubled", Terms(using={"square": sp.Integer(2)}))
    d.inequality("above", sp.Gt(x + 1, 0), "h, and 1", Terms((sp.S.One,), using={"h": sp.S.One}))
    model = Model("two numbers", {x: 3, y: 2})
    return d.conclude("i", [model, model.control("h", "above", {x: -2})])


def test_property_text_shows_every_step_reason_and_check(monkeypatch: pytest.MonkeyPatch) -> None:
    d = sample()
    text = as_text(d, 80)
    assert text.startswith("sample: derived given [deep]")
    assert [line[5:] for line in text.splitlines() if line[3:4] == "."] == [
        f"{step.mark} {step.name} [{step.kind}]" for step in d.steps
    ]
    for step in d.steps:
        assert step.because in text
        assert step.kind == "instance" or step.evidence in " ".join(text.split())
    for shown in ("x² + y² ≥ 2 x y", "equality only if\n       x − y = 0", "equality only as in step 4", "y = 7"):
        assert shown in text
    assert "holds in: two numbers\n     without it above fails" in text
    assert "; true in 1 model" in " ".join(text.split())
    assert "needs also\n       x − y ≠ 0" in text
    monkeypatch.setenv("COLUMNS", "80")
    assert as_text(d) == text
    monkeypatch.setenv("COLUMNS", "60")
    assert as_text(d) == as_text(d, 60) != text


def test_property_an_abbreviation_is_defined_once_and_found_again() -> None:
    inner = sp.Sum(sp.exp(g(i, j, x, y)) * f(j, x), (j, 1, m)) / sp.Sum(sp.exp(g(i, j, x, y)), (j, 1, m))
    long = sp.Sum(q[i] * (inner - f(i, x)) ** 3 * (inner + f(i, y)) ** 2, (i, 1, n))
    layout = Layout.of([long], 60)
    first, again = layout.lines(sp.Eq(long, x), 3), layout.lines(sp.Eq(long, y), 5)
    assert first[-1].strip() != ""
    assert sum("let S₁(i)" in line for line in first) == 1
    assert again[0].startswith("with S₁")
    assert again[0].endswith("as in step 3")
    assert not any("let" in line for line in again)


def test_property_a_prediction_shows_quantity_formula_and_value() -> None:
    for claim in CLAIMS.values():
        for variant in claim.formulas:
            formula = claim.formula(variant)
            lines = prediction_as_text(formula, 0.25, 80).splitlines()
            assert max(map(len, lines)) <= 80
            assert " ".join(lines).startswith(formula.quantity)
            assert lines[-1] == "   = 0.25"
            assert not any("**" in line or "logistic" in line for line in lines)


@pytest.mark.parametrize(
    ("expr", "picture"),
    [
        (3 * x**2 * y - x, "3 x² y − x"),
        (x - 3 * y, "x − 3 y"),
        (-x / (1 - y), "   x\n−─────\n 1 − y"),
        (sp.Symbol("kappa_plus") ** 4 * sp.Symbol("trH_tau"), "κ₊⁴ tr H_τ"),
        (w[j, 1] * w[i + 1, j] ** 2, "wᵢ₊₁‚ⱼ² wⱼ₁"),
        (sp.exp(-t) * f(t).diff(t, 2), "e⁻ᵗ f″(t)"),
        (sp.exp(2 * f(t)), "exp(2 f(t))"),
        (g(x, t).diff(x).diff(t), "∂ₜ∂ₓg(x, t)"),
        (sp.sqrt(x + 1) * logistic(x) * logistic_slope(y), "√(x + 1) σ(x) σ′(y)"),
        (sp.Sum(w[i, j] ** 2, (i, 1, m)) / 4, "     m\n1/4  ∑  wᵢⱼ²\n    i=1"),
        (sp.Limit(1 / x, x, sp.oo), "lim 1/x\nx→∞"),
        (sp.Max(0, -x * y), "max(0, −x y)"),
        (sp.Implies(x > 1, y >= 0, evaluate=False), "x > 1 → y ≥ 0"),
    ],
)
def test_closed_form_pictures(expr: sp.Basic, picture: str) -> None:
    assert "\n".join(lines_of(drawn(expr), 80)) == picture
