"""Mutant and known-answer tests of models: what is false in a system, vacuous or not needed is refused."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import sympy as sp

from theory.kernel import CheckFailedError, Derivation, Model, Terms, enclosed

x, y, s = sp.symbols("x y s", real=True)
a = sp.Symbol("a", positive=True)
i, n = sp.symbols("i n", integer=True, positive=True)
w = sp.IndexedBase("w", real=True)
f = sp.Function("f", real=True)
CLOSED = Model("a walk of three steps", {n: 3, w: [1, -2, 1]})


def walk() -> Derivation:
    """Steps w_i that return to the start: Σ w = 0."""
    d = Derivation("walk")
    d.assume("returns", sp.Eq(sp.Sum(w[i], (i, 1, n)), 0), "the walk is closed")
    d.identity("doubled", sp.Eq(2 * sp.Sum(w[i], (i, 1, n)) + n, n), "2 · 0", given=("returns",))
    return d


def test_closed_form_what_holds_in_a_model_and_what_falls_with_a_hypothesis() -> None:
    d = walk().conclude("doubled", [CLOSED, CLOSED.control("returns", "doubled", {w: [1, 1, 1]})])
    assert d.status == "derived"
    held, control = d.models
    assert (held.standing, dict(held.points)) == ({"returns": "holds"}, {"doubled": 1})
    assert (control.standing, control.points) == ({"returns": "fails"}, {})
    assert d.models_of("returns") == (("a walk of three steps",), ("doubled",))


def test_closed_form_status_says_what_is_missing() -> None:
    d = walk()
    d.bridge("odd", sp.Eq(w[2], -2 * w[1]), "a page of mathematics")
    d.identity("second", sp.Eq(w[2] + w[1], -w[1]), "by odd", given=("odd",))
    d.cite("known", "a theorem", "an author")
    assert Derivation("empty").status == "conjecture"
    controls = [
        CLOSED.control("returns", "doubled", {w: [1, 1, 1]}),
        CLOSED.control("odd", "second", {w: [1, 0, -1]}),
    ]
    assert d.conclude("second", [CLOSED, *controls]).status == "derived given [known] up to [odd]"
    assert walk().conclude("doubled").status == "without a model"


def test_mutant_a_lemma_without_a_model_leaves_its_user_without_one() -> None:
    source = walk().conclude("doubled")
    d = Derivation("user")
    d.lemma("doubled", source)
    d.identity("square", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    assert d.conclude("square", [Model("a number", {x: 2})]).status == "without a model"


def test_closed_form_what_a_model_says_nothing_of_is_not_evaluated_in_it() -> None:
    d = walk()
    d.identity("square", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    done = d.conclude("doubled", [CLOSED, CLOSED.control("returns", "doubled", {w: [1, 1, 1]})])
    assert dict(done.models[0].points) == {"doubled": 1}


REFUSED: dict[str, tuple[str, Callable[[], list[Model]]]] = {
    "no control": ("no control breaks 'returns'", lambda: [CLOSED]),
    "hypothesis that holds in none": ("holds in no model", lambda: [Model("open", {n: 2, w: [1, 1]})]),
    "what is not interpreted": ("holds in no model", lambda: [Model("no walk", {n: 2})]),
    "control in which it holds": ("there it stands: holds", lambda: [CLOSED.control("returns", "doubled", {n: 3})]),
    "control of no hypothesis": ("expected a hypothesis", lambda: [CLOSED.control("closed", "doubled", {n: 3})]),
    "control of no step": ("expected a hypothesis", lambda: [CLOSED.control("returns", "tripled", {n: 3})]),
    "symbol that nothing mentions": ("which no step mentions", lambda: [Model("foreign", {x: 1})]),
    "size of the wrong kind": ("is assumed integer, positive", lambda: [Model("half", {n: Fraction(1, 2), w: [1, 1]})]),
    "wide enclosures": (
        "holds in no model",
        lambda: [Model("blurred", {n: 2, w: [enclosed(1, 0.01), enclosed(-1, 0.01)]})],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_mutant_model_is_refused(case: str) -> None:
    message, models = REFUSED[case]
    with pytest.raises(CheckFailedError, match=message):
        walk().conclude("doubled", models())


def test_mutant_step_that_does_not_need_its_hypothesis_is_refused() -> None:
    d = Derivation("idle")
    d.assume("small", sp.Le(x, 1), "assumed")
    d.inequality("square", sp.Ge(2 * x**2 + 1 - x, 0), "2x² and 1 − x", Terms((2 * x**2,), using={"small": 1}))
    idle = Model("a number", {x: Fraction(1, 2)}).control("small", "square", {x: 2})
    with pytest.raises(CheckFailedError, match="without 'small' step 'square' is not refuted"):
        d.conclude("square", [idle])


def test_mutant_equation_between_zeros_is_no_evidence() -> None:
    d = Derivation("zeros")
    d.identity("square", sp.Eq((x - y) * (x + y), x**2 - y**2), "expand")
    with pytest.raises(CheckFailedError, match="'square' is evaluated in no model"):
        d.conclude("square", [Model("nothing", {x: 0, y: 0})])


def test_mutant_hypothesis_about_zeros_holds_in_no_model() -> None:
    d = Derivation("zeros")
    d.assume("same", sp.Eq(x, 2 * y), "assumed")
    d.identity("twice", sp.Eq(3 * x, 6 * y), "thrice", given=("same",))
    with pytest.raises(CheckFailedError, match="hypothesis 'same' holds in no model"):
        d.conclude("twice", [Model("nothing", {x: 0, y: 0})])


def test_closed_form_functions_enclosures_and_listed_values() -> None:
    """A curve on the circle: f(1, s)² + f(2, s)² = 1 for every s, so f·f' = 0."""
    d = Derivation("circle")
    d.assume("circle", sp.Eq(sp.Sum(f(i, s) ** 2, (i, 1, 2)), 1), "on the circle for every s", for_every=(s,))
    slope = sp.Sum(f(i, s) * sp.diff(f(i, s), s), (i, 1, 2))
    square = sp.Sum(f(i, s) ** 2, (i, 1, 2))
    d.identity("chain", sp.Eq(slope, sp.Derivative(square, s) / 2), "(f²)' = 2ff'")
    d.identity("tangent", sp.Eq(slope, 0), "differentiate", given=("chain", "circle"))
    d.define("half", sp.Eq(a, sp.Rational(1, 2)), "a name")
    curve = Model(
        "an arc", {f: [sp.Lambda(s, sp.cos(s)), sp.Lambda(s, sp.sin(s))], s: [0, Fraction(1, 2), enclosed(1, 1e-12)]}
    )
    parabola = curve.control("circle", "tangent", {f: [sp.Lambda(s, s), sp.Lambda(s, s**2)]})
    line = Model("a line, which leaves the circle", {f: [sp.Lambda(s, s), sp.Lambda(s, s + 1)], s: [0, 1]})
    arc, straight, _ = d.conclude("tangent", [curve, line, parabola]).models
    assert (arc.points["chain"], arc.points["tangent"]) == (0, 3)
    assert (straight.points["chain"], straight.standing["circle"]) == (2, "fails")


@pytest.mark.parametrize(("value", "radius"), [(float("nan"), 0.1), (1.0, -1.0), (1.0, float("inf"))])
def test_mutant_enclosure_is_refused(value: float, radius: float) -> None:
    with pytest.raises(ValueError, match="finite value and a radius"):
        enclosed(value, radius)


def test_mutant_hypothesis_in_words_is_refused() -> None:
    with pytest.raises(CheckFailedError, match="in words"):
        Derivation("d").assume("words", "θ is small", "said")


def test_closed_form_of_an_index_with_a_value_no_other_is_tried() -> None:
    d = Derivation("one step")
    d.assume("one", sp.Eq(w[i], 1), "of the step i")
    d.identity("square", sp.Eq(w[i] ** 2, 1), "1² = 1", given=("one",))
    model = Model("the first of two steps", {i: 1, w: [1, 3]})
    first, _ = d.conclude("square", [model, model.control("one", "square", {w: [2, 3]})]).models
    assert first.standing["one"] == "holds"


def level(statement: sp.Eq, **functions: sp.Lambda) -> tuple[Derivation, Model]:
    d = Derivation("level")
    d.assume("level", statement, "for every s", for_every=(s,))
    d.identity("chain", sp.Eq(sp.Derivative(f(s), s), sp.Derivative(f(s) - 1, s)), "a constant has no slope")
    d.identity("still", sp.Eq(sp.Derivative(f(s), s), 0), "f is 1 for every s", given=("level",))
    return d, Model("a curve", {s: [0], **{sp.Function(name, real=True): made for name, made in functions.items()}})


def test_mutant_an_equation_for_every_value_is_tested_with_its_slope() -> None:
    d, curve = level(sp.Eq(f(s), 1), f=sp.Lambda(s, 1 + s))
    with pytest.raises(CheckFailedError, match="hypothesis 'level' holds in no model"):
        d.conclude("still", [curve])


def test_closed_form_functions_of_a_model_contain_its_quantities() -> None:
    d, curve = level(sp.Eq(f(s), 1), f=sp.Lambda(s, w[1] + w[2] * s))
    values = {**curve.values, w: [1, 0]}
    still = Model("at rest", values)
    moving = Model("in motion", {**values, w: [1, 3]})
    done = d.conclude("still", [still, moving, still.control("level", "still", {w: [1, 2]})])
    assert [each.standing["level"] for each in done.models] == ["holds", "fails", "fails"]


def test_closed_form_a_lemma_is_evaluated_where_it_was_derived() -> None:
    source, curve = level(sp.Eq(f(s), 1), f=sp.Lambda(s, 1 + 0 * s))
    moving = Model("in motion", {**curve.values, f: sp.Lambda(s, 1 + s)})
    source.conclude("still", [curve, moving, curve.control("level", "still", {f: sp.Lambda(s, 1 + s)})])
    d = Derivation("user")
    d.lemma("still", source)
    d.identity("square", sp.Eq((w[1] + 1) ** 2, w[1] ** 2 + 2 * w[1] + 1), "expand")
    assert d.conclude("square", [Model("a number", {w: [2]})]).status == "derived"


def test_closed_form_a_listed_value_reaches_what_only_premises_name() -> None:
    d = Derivation("listed")
    d.assume("slope", sp.Eq(w[1], sp.Derivative(f(s), s)), "at s")
    d.assume("known", sp.Eq(sp.Derivative(f(s), s), 2), "at s")
    d.identity("square", sp.Eq(w[1] ** 2, 4), "a_1 = f' = 2", given=("slope", "known"))
    model = Model("a line", {s: [0, 3], f: sp.Lambda(s, 2 * s), w: [2]})
    controls = [
        model.control("slope", "square", {w: [3]}),
        model.control("known", "square", {f: sp.Lambda(s, s), w: [1]}),
    ]
    assert d.conclude("square", [model, *controls]).models[0].points == {"square": 1}
