r"""Mutant and closed-form tests: no other constant would do, and statement, note and closed form have the same one.

A derivation might allow several conclusions, as one with an unspecified remainder does; so every number of a conclusion
and of the steps that closed forms are read off is altered, and must then be false in a model of the derivation. The
LaTeX of a claim's statement and of its note is read and evaluated beside the closed form.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
import sympy as sp

from theory.claims import CLAIMS
from theory.kernel import Model, Step
from theory.kernel.door.interpretation import examined
from theory.kernel.failure import RefutedError

ROOT = Path(__file__).parents[3]


def altered(statement: sp.Rel) -> Iterator[sp.Rel]:
    """The statement with one of its numbers, at one place, three times as large."""
    for side in (0, 1):
        whole = statement.args[side]
        for place, number in _numbers(whole, ()):
            changed = [
                _replaced(arg, place, 3 * number) if at == side else arg for at, arg in enumerate(statement.args)
            ]
            yield statement.func(*changed, evaluate=False)


def _numbers(expr: sp.Basic, place: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], sp.Rational]]:
    if isinstance(expr, sp.Rational) and expr not in {0, -1}:
        yield place, expr
    if isinstance(expr, sp.Sum | sp.Product | sp.Derivative):
        yield from _numbers(expr.args[0], (*place, 0))
    elif not isinstance(expr, sp.Indexed | sp.Order | sp.Limit):
        for at, arg in enumerate(expr.args):
            yield from _numbers(arg, (*place, at))


def _replaced(expr: sp.Basic, place: tuple[int, ...], number: sp.Rational) -> sp.Basic:
    if not place:
        return number
    args = [_replaced(arg, place[1:], number) if at == place[0] else arg for at, arg in enumerate(expr.args)]
    return expr.func(*args)


def settled(claim: str) -> set[str]:
    """The conclusion, unless it is in words, and the steps that closed forms are read off, lemmas' apart."""
    derivation = CLAIMS[claim].derivation
    read = {CLAIMS[claim].formula(variant).step for variant in CLAIMS[claim].formulas}
    steps = [step for step in derivation.steps if step in read or step is derivation.conclusion]
    return {step.name for step in steps if isinstance(step.statement, sp.Rel)}


UNATTAINED = {
    ("same-loss-different-transfer", "gap"): "a difference of bounds of two networks",
    ("algorithm", "beats-symmetric"): "likewise",
}
"""Bounds that no system attains, so that a smaller one is true as well."""


@pytest.mark.parametrize(
    ("claim", "name"),
    [(claim, name) for claim in CLAIMS for name in sorted(settled(claim)) if (claim, name) not in UNATTAINED],
)
def test_mutant_another_constant_is_false_in_a_model(claim: str, name: str) -> None:
    step = CLAIMS[claim].derivation[name]
    # A lemma is held to the models of the derivation that it comes from as well.
    derivations = (CLAIMS[claim].derivation, *CLAIMS[claim].derivation.lemmas)
    saying = [d for d in derivations if any(s.statement == step.statement for s in d.steps)]
    models = [found.model for d in saying for found in d.models if not found.model.breaks]
    # A bound is held to the models in which it is attained: there both sides are determined.
    sharp = step.statement if isinstance(step.statement, sp.Equality) else sp.Eq(*step.statement.args, evaluate=False)
    for other in altered(sharp):
        assert any(holds(step, sharp, model) and not holds(step, other, model) for model in models), (
            f"{other} is false in none of {[model.name for model in models]}"
        )


def holds(step: Step, statement: sp.Rel, model: Model) -> bool:
    """Whether a statement in place of a step's is true wherever its premises hold in a model, and they do."""
    try:
        return bool(examined(step.kind, statement, step.premises, model))
    except RefutedError:
        return False


SAME = {r"\eta": "eta", "B": "B", r"\operatorname{tr}H": "trace", "h_i": "h", "d": "d", "m": "m", "n": "n", "T": "T"}
SLOPE = {r"\sigma'(\alpha)": "slope", r"\alpha": "alpha"}
WRITTEN: dict[tuple[str, str], tuple[str, dict[str, str], dict[str, float]]] = {
    ("plateau", ""): (r"\frac{\eta}{4B}\operatorname{tr}H", SAME, {"eta": 0.3, "B": 2, "trace": 0.7}),
    ("plateau", "mode"): (r"\frac{\eta}{2B}\sum_i\frac{h_i}{2-\eta h_i}", SAME, {"eta": 0.3, "B": 2, "h": 0.7}),
    ("slow-flow", ""): (r"\tfrac14", SAME, {}),
    ("product-model", ""): (r"e^{-\sigma'(\alpha)\tau}", SLOPE | {r"\tau": "tau"}, {"alpha": 0.9, "tau": 1.3}),
    ("flattest-pairs", ""): (
        r"6\,\sigma'(\alpha)\,d^{2/3}(\alpha/2)^{4/3}\left(\lceil m/2\rceil^{-1/3}+\lfloor m/2\rfloor^{-1/3}\right)",
        SAME | SLOPE, {"alpha": 0.9, "d": 3, "m": 5},
    ),
    ("sgd-reaches-flattest", "split"): (
        r"6\,\sigma'(\alpha)\,d^{2/3}(\alpha/2)^{4/3}(k^{-1/3}+l^{-1/3})",
        SAME | SLOPE | {"k": "plus", "l": "minus"}, {"alpha": 0.9, "d": 3, "plus": 2, "minus": 3},
    ),
    ("flattest-brackets", ""): (r"2\alpha\sqrt{T-1}\,\sigma'(\alpha)", SAME | SLOPE, {"alpha": 0.9, "T": 6}),
    ("transfer-pairs", ""): (r"1-2^{1-n}", SAME, {"n": 3}),
    ("transfer-pairs", "accuracy"): (r"1-2^{-n}", SAME, {"n": 3}),
    ("transfer-brackets", ""): (r"1-2^{-n}", SAME, {"n": 3}),
    ("transfer-bound", ""): (r"1-n\big/\tbinom{d}{2}", SAME, {"n": 3, "d": 5}),
    ("trace-is-not-invariant", ""): (
        r"R+P/c^2+Q\,c^2", {"R": "rest", "P": "p", "Q": "q", "c": "c"}, {"rest": 0.2, "p": 0.5, "q": 1.5, "c": 1.7},
    ),
    ("trace-is-not-invariant", "least"): (
        r"R+2\sqrt{PQ}", {"R": "rest", "P": "p", "Q": "q"}, {"rest": 0.2, "p": 0.5, "q": 1.5},
    ),
    ("orbit-trace", ""): (r"R+2\nu", {"R": "rest", r"\nu": "nuclear"}, {"rest": 0.2, "nuclear": 1.3}),
    ("noise-balance", "drift"): (
        r"\tfrac{\eta^2}{B}(S_Q-S_K)", SAME | {"S_Q": "s_queries", "S_K": "s_keys"},
        {"eta": 0.3, "B": 2, "s_queries": 0.7, "s_keys": 0.4},
    ),
    ("plateau-transformer", ""): (
        r"\frac{\eta}{2B}\sum_i\frac{h_i}{2-\eta h_i}\bigl(1-(1-\eta h_i)^{2t}\bigr)",
        SAME | {"t": "t"}, {"eta": 0.3, "B": 2, "h": 0.7, "t": 4},
    ),
    ("flatness-mediates", ""): (r"\tfrac{\eta}{4B}", SAME, {"eta": 0.3, "B": 2, "beta": 0}),
    ("noise-is-a-penalty", ""): (
        r"\bigl(1-\tfrac{1-(1-\eta h)^{2t}}{t\eta h(2-\eta h)}\bigr)/(1-\eta h/2)",
        SAME | {"h": "h", "t": "t"}, {"eta": 0.3, "h": 0.7, "t": 4},
    ),
}  # fmt: skip
"""Of each closed form what the claim's statement has for it, its letters, and where both are evaluated."""


TOKEN = re.compile(r"\\[A-Za-z]+|[0-9]+|[A-Za-z]|[-+/^(){}=]|\\S")
SPACING = {
    r"\left",
    r"\right",
    r"\bigl",
    r"\bigr",
    r"\big",
    r"\Big",
    r"\Bigl",
    r"\Bigr",
    r"\quad",
    r"\qquad",
    r"\cdot",
    r"\sum_i",
}


def tokens(latex: str, letters: Iterable[str] = ()) -> list[str]:
    """Read LaTeX, spaces and sizes left out, \\tfrac as \\frac; a letter may consist of several tokens."""
    latex = re.sub(r"\\[,;! ]", " ", latex.replace(r"\tfrac", r"\frac").replace(r"\tbinom", r"\binom"))
    latex = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", latex)
    longest = sorted({*letters, *SPACING}, key=len, reverse=True)
    pattern = re.compile("|".join([*(re.escape(name) + "(?![A-Za-z])" for name in longest), TOKEN.pattern]))
    return [token for token in pattern.findall(latex) if token not in SPACING]


class Reader:
    """Evaluates the LaTeX of a formula: sums, products, quotients, powers, roots, binomials, ⌈ ⌉, ⌊ ⌋."""

    def __init__(self, latex: str, letters: Mapping[str, float]) -> None:
        self.left, self.letters = tokens(latex, letters)[::-1], letters

    def total(self, *ends: str) -> float:
        value = 0.0
        while self.left and self.left[-1] not in ends:
            sign = {"+": 1, "-": -1}.get(self.left[-1])
            if sign is not None:
                self.left.pop()
            value += (sign or 1) * self.product(*ends)
        if ends:
            self.left.pop()
        return value

    def product(self, *ends: str) -> float:
        value = 1.0
        while self.left and self.left[-1] not in {"+", "-", *ends}:
            divided = self.left[-1] == "/" and self.left.pop()
            factor = self.factor()
            value = value / factor if divided else value * factor
        return value

    def factor(self) -> float:
        value = self.atom()
        if self.left and self.left[-1] == "^":
            self.left.pop()
            value **= self.atom()
        return value

    def atom(self) -> float:
        token = self.left.pop()
        inside = {"(": ")", "{": "}", r"\lceil": r"\rceil", r"\lfloor": r"\rfloor"}
        rounded = {r"\lceil": math.ceil, r"\lfloor": math.floor}.get(token, float)
        if token in inside:
            return rounded(self.total(inside[token]))
        if token == r"\frac":
            return self.atom() / self.atom()
        if token == r"\binom":
            return math.comb(round(self.atom()), round(self.atom()))
        if token == r"\sqrt":
            return math.sqrt(self.atom())
        return self.letters[token] if token in self.letters else float(token)


@pytest.mark.parametrize(("claim", "variant"), WRITTEN)
def test_closed_form_statement_and_note_have_the_constants_of_the_formula(claim: str, variant: str) -> None:
    latex, letters, at = WRITTEN[claim, variant]
    known = at | ({"slope": math.exp(-at["alpha"]) / (1 + math.exp(-at["alpha"])) ** 2} if "alpha" in at else {})
    values = {letter: known[name] for letter, name in letters.items() if name in known} | {"e": math.e}
    assert Reader(latex, values).total() == pytest.approx(CLAIMS[claim].predict(variant, **at), rel=1e-12)
    note = (ROOT / f"paper_notes/{CLAIMS[claim].chapter}/{CLAIMS[claim].module}.md").read_text(encoding="utf-8")
    for text in (CLAIMS[claim].statement, note):
        assert " ".join(_bare(latex)) in " ".join(_bare(text)), f"{latex} is not written in {text[:200]}"


def _bare(latex: str) -> list[str]:
    return [token for token in tokens(latex) if token not in {"{", "}"}]


THRESHOLDS = {
    "algorithm": "0.07", "same-loss-different-transfer": "0.07", "continued-training": "0.02", "model-size": "0.045",
    "flatness-mediates": "0.02", "flatness-predicts": "-0.4", "closeness-predicts": "-0.4",
}  # fmt: skip


@pytest.mark.parametrize("claim", THRESHOLDS)
def test_property_the_threshold_of_a_conjecture_is_that_of_its_designs(claim: str) -> None:
    with (ROOT / "tests/verify/claims/designs.tsv").open(encoding="utf-8") as table:
        targets = {row["target"] for row in csv.DictReader(table, delimiter="\t") if row["claim"] == claim}
    sign = r"\le" if THRESHOLDS[claim].startswith("-") else r"\ge"
    stated = re.findall(rf"\{sign}\s*(-?[0-9]+\.[0-9]+)", CLAIMS[claim].statement)
    assert targets == set(stated) == {THRESHOLDS[claim]}
