"""Formulas as a mathematician writes them, in two dimensions and Unicode: sympy's printer, made compact.

Where one line will do it takes one: wⱼᵢ², σ′(α), ∂ₛ∂ₜg, √x. A sum sign is one letter, its limits above and below; it
reaches as far as the product behind it, so other factors come first. A product is juxtaposed.
"""

# ruff: noqa: N802 - sympy finds the method of a class by the name of the class

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.pretty.pretty import PrettyPrinter
from sympy.printing.pretty.pretty_symbology import pretty_symbol, pretty_use_unicode, sub, sup
from sympy.printing.pretty.stringpict import prettyForm, stringPict

from theory.kernel import logistic, logistic_slope

_LOWERED = {**sub, "j": "ⱼ"}
_RAISED = {
    **{letter: raised for letter, raised in sup.items() if letter not in "()"},
    **dict(zip("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True)),
    "alpha": "ᵅ",
    "-": "⁻",
}
_MARKS = {"plus": "₊", "minus": "₋", "star": "⋆"}
_RELATIONS = {"==": "=", ">=": "≥", "<=": "≤", "!=": "≠"}


@cache
def drawn(expr: sp.Basic) -> prettyForm:
    """Return the picture of an expression."""
    before = pretty_use_unicode(True)
    try:
        return _Printer({"use_unicode": True, "root_notation": True})._print(expr)
    finally:
        pretty_use_unicode(before)


def relation_sign(operator: str) -> str:
    """Return the sign of a relation, spaced; sympy's name of it is an operator of Python."""
    return f" {_RELATIONS.get(operator, operator)} "


def lines_of(form: prettyForm, width: int) -> list[str]:
    """Return the lines of a picture, cut where it is wider than `width`; minus signs are of full length."""
    text = form.render(wrap_line=True, num_columns=width, use_unicode=True)
    return [line.rstrip().replace("-", "−") for line in text.splitlines()]


def signed_terms(expr: sp.Expr) -> list[tuple[str, sp.Expr]]:
    """Take a sum apart: the sign of each term and the rest of it, a positive term first where there is one."""
    if not isinstance(expr, sp.Expr):
        return [("+", expr)]
    terms = expr.as_ordered_terms() if isinstance(expr, sp.Add) else [expr]
    split = [(term, term.as_coeff_Mul()[0].is_negative) for term in terms]
    signed = [("-" if minus else "+", -term if minus else term) for term, minus in split]
    first = next((k for k, (sign, _) in enumerate(signed) if sign == "+"), 0)
    return [signed[first], *signed[:first], *signed[first + 1 :]]


def beside(*parts: prettyForm | str, binding: int = prettyForm.ATOM) -> prettyForm:
    """Put pictures next to each other, baselines aligned."""
    return prettyForm(*stringPict.next(*parts), binding=binding)


def _parenthesised(form: prettyForm) -> prettyForm:
    return prettyForm(*form.parens())


def _script(expr: sp.Expr, letters: dict[str, str]) -> str | None:
    """Raise or lower a symbol, a whole number or their like by Unicode letters; None where one has no such form."""
    text = str(expr).replace(" ", "")
    if text in letters:
        return letters[text]
    return "".join(letters[letter] for letter in text) if all(letter in letters for letter in text) else None


def _named(name: str) -> str:
    """Write a name with its subscript; a word stays on the line, and trH is the trace of H."""
    letter, _, below = name.partition("_")
    before, trace, matrix = letter.partition("tr")
    shown = f"{before}{trace} {matrix}" if trace and matrix.isupper() else pretty_symbol(letter)
    if not below:
        return shown
    lowered = _script(sp.Symbol(below), _LOWERED) if len(below) < 3 or below in sub else None
    return shown + (_MARKS.get(below) or lowered or f"_{pretty_symbol(below)}")


def _place(factor: sp.Expr) -> int:
    """Place of a factor in a product: numbers, what has a name, what has brackets, sums."""
    base = factor.args[0] if isinstance(factor, sp.Pow) else factor
    if isinstance(factor, sp.Sum) or factor.is_number:
        return 0 if factor.is_number else 3
    return 1 if isinstance(base, sp.Symbol | sp.Indexed) else 2


class _Printer(PrettyPrinter):  # type: ignore[misc]  # sympy is untyped
    def _print_Symbol(self, symbol: sp.Symbol, bold_name: bool = False) -> prettyForm:
        return prettyForm(_named(symbol.name))

    def _print_Dummy(self, symbol: sp.Dummy) -> prettyForm:
        return self._print_Symbol(symbol)

    def _print_Add(self, expr: sp.Expr, order: object = None) -> prettyForm:
        parts: list[prettyForm | str] = []
        for sign, term in signed_terms(expr):
            parts += [f" {sign} " if parts else "" if sign == "+" else "-", self._closed(term)]
        return beside(*parts, binding=prettyForm.ADD)

    def _closed(self, expr: sp.Expr) -> prettyForm:
        """Draw an expression so that a product or a sum sign may stand before it."""
        form = self._print(expr)
        return _parenthesised(form) if form.binding > prettyForm.MUL else form

    def _print_Mul(self, product: sp.Expr) -> prettyForm:
        if product.as_coeff_Mul()[0].is_negative:
            return beside("-", self._closed(-product), binding=prettyForm.NEG)
        above, below = [], []
        for factor in product.as_ordered_factors():
            if factor.is_Rational:
                above += [sp.Integer(factor.p)] if factor.p != 1 else []
                below += [sp.Integer(factor.q)] if factor.q != 1 else []
            elif isinstance(factor, sp.Pow) and factor.exp.is_Rational and factor.exp.is_negative:
                below.append(factor.base if factor.exp == -1 else sp.Pow(factor.base, -factor.exp, evaluate=False))
            else:
                above.append(factor)
        if not below:
            return self._juxtaposed(above)
        tall = [f for f in above if isinstance(f, sp.Sum) or self._print(f).height() > 2]
        front = self._fraction([f for f in above if f not in tall], below)
        return self._beside_each_other([front], tall) if tall else front

    def _fraction(self, above: Sequence[sp.Expr], below: Sequence[sp.Expr]) -> prettyForm:
        top, bottom = self._juxtaposed(above), self._juxtaposed(below)
        short = all(form.height() == 1 and form.width() <= 3 for form in (top, bottom))
        if short and top.binding <= prettyForm.FUNC and bottom.binding <= prettyForm.FUNC:
            return beside(top, "/", bottom, binding=prettyForm.MUL)
        return prettyForm(*stringPict.stack(top, stringPict.LINE, bottom), binding=prettyForm.DIV)

    def _juxtaposed(self, factors: Sequence[sp.Expr]) -> prettyForm:
        if len(factors) < 2:
            return self._print(factors[0]) if factors else prettyForm("1")
        ordered = sorted(factors, key=_place)
        return self._beside_each_other([], ordered)

    def _beside_each_other(self, front: Sequence[prettyForm], factors: Sequence[sp.Expr]) -> prettyForm:
        parts: list[prettyForm | str] = [*front]
        for factor in factors:
            form = self._closed(factor)
            if isinstance(factor, sp.Mul) or (isinstance(factor, sp.Sum) and factor is not factors[-1]):
                form = _parenthesised(form)
            between = "·" if form.picture[form.baseline][0].isdigit() else " "
            parts += [between, form] if parts else [form]
        return beside(*parts, binding=prettyForm.MUL)

    def _print_Pow(self, power: sp.Pow) -> prettyForm:
        base, exponent = power.args
        if exponent.is_Rational and exponent.is_negative:
            under = base if exponent == -1 else sp.Pow(base, -exponent, evaluate=False)
            return self._fraction((), (under,))
        form = self._print(base)
        if exponent == sp.S.Half and form.height() == 1:
            return beside("√", form if form.binding == prettyForm.ATOM else _parenthesised(form))
        if exponent == sp.S.Half:
            return self._print_nth_root(base, 2)
        sloped = isinstance(base, sp.Derivative) and "∂" in str(form)
        form = _parenthesised(form) if form.binding > prettyForm.FUNC or sloped else form
        raised = _script(exponent, _RAISED)
        if raised is None:
            top = beside(" " * form.width(), self._print(exponent))
            wide = beside(form, " " * (top.width() - form.width()))
            return prettyForm(*wide.above(top), binding=prettyForm.POW)
        corner = stringPict(raised)
        corner.baseline = form.baseline
        return beside(form, corner, binding=prettyForm.POW)

    def _print_ExpBase(self, power: sp.Expr) -> prettyForm:
        raised = _script(power.args[0], _RAISED)
        return beside("e", raised, binding=prettyForm.POW) if raised else self._applied("exp", power.args)

    def _print_Sum(self, total: sp.Sum) -> prettyForm:
        form = self._closed(total.function)
        for index, low, high in total.limits:
            limits = [f"{self._print(index)}={self._print(low)}", str(self._print(high))]
            width = max(map(len, limits))
            sign = prettyForm("\n".join(text.center(width) for text in (limits[1], "∑", limits[0])), baseline=1)
            form = beside(sign, " ", form, binding=prettyForm.MUL)
        return form

    def _print_Limit(self, limit: sp.Limit) -> prettyForm:
        expr, variable, point, _ = limit.args
        sign = prettyForm(f"lim\n{self._print(variable)}→{self._print(point)}")
        return beside(sign, " ", self._closed(expr), binding=prettyForm.MUL)

    def _print_Indexed(self, entry: sp.Indexed) -> prettyForm:
        base = _named(str(entry.base.label))
        indices = [str(self._print(index)) for index in entry.indices]
        lowered = [_script(index, _LOWERED) for index in entry.indices]
        if all(lowered) and base[-1] not in sub.values():
            joint = "" if all(len(index) == 1 for index in indices) else "‚"
            return prettyForm(base + joint.join(text for text in lowered if text))
        return prettyForm(f"{base}[{', '.join(indices)}]")

    def _print_Derivative(self, slope: sp.Derivative) -> prettyForm:
        of = slope.expr
        if isinstance(of, AppliedUndef) and len(of.args) == 1 and slope.derivative_count <= 3:
            return self._applied(_named(of.func.__name__) + "′″‴"[int(slope.derivative_count) - 1], of.args)
        form = self._print(of)
        signs = ""
        for variable, count in slope.variable_count:
            lowered = _script(variable, _LOWERED) or f"_{variable}"
            signs += f"∂{lowered}" + ("" if count == 1 else str(_script(count, _RAISED)))
        return beside(signs, form if isinstance(of, AppliedUndef) else _parenthesised(form), binding=prettyForm.FUNC)

    def _applied(self, name: str, arguments: Sequence[sp.Expr]) -> prettyForm:
        inside = _parenthesised(self._print_seq(arguments, delimiter=", "))
        return beside(name, inside, binding=prettyForm.FUNC)

    def _print_Function(self, call: sp.Expr, **_: object) -> prettyForm:
        own = {logistic: "σ", logistic_slope: "σ′"}
        return self._applied(own.get(call.func) or _named(call.func.__name__), call.args)

    def _print_Max(self, call: sp.Expr) -> prettyForm:
        return self._applied("max", call.args)

    def _print_Relational(self, relation: sp.Rel) -> prettyForm:
        sides = self._print(relation.lhs), self._print(relation.rhs)
        return beside(sides[0], relation_sign(relation.rel_op), sides[1], binding=prettyForm.OPEN)
