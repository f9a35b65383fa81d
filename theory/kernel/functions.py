"""Functions the claims are written in."""

from __future__ import annotations

import sympy as sp


class logistic(sp.Function):  # type: ignore[misc]  # noqa: N801 - sympy is untyped and spells functions so
    """Logistic function σ(x) = 1/(1 + e^{−x}), with σ' = σ(1 − σ)."""

    nargs = 1

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        """Evaluate at the one point where the value is rational: σ(0) = ½."""
        return sp.Rational(1, 2) if x == 0 else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """σ'(x) = σ(x)(1 − σ(x))."""
        return self * (1 - self)

    def _eval_rewrite_as_exp(self, x: sp.Expr, **_: object) -> sp.Expr:
        return sp.exp(x) / (1 + sp.exp(x))

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_extended_real else None

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_extended_real else None

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return (1 / (1 + sp.exp(-self.args[0])))._eval_evalf(prec)

    def _latex(self, printer: object, exp: str | None = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"\sigma{power}\left({sp.latex(self.args[0])}\right)"


class logistic_slope(sp.Function):  # type: ignore[misc]  # noqa: N801 - as above
    """Slope of the logistic function, σ'(x) = σ(x)(1 − σ(x)): the variance of a ±-token of logit x."""

    nargs = 1

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        """σ' is even: a leading minus sign is dropped; σ'(0) = ¼."""
        if x == 0:
            return sp.Rational(1, 4)
        return cls(-x) if x.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """σ''(x) = σ'(x)(1 − 2σ(x))."""
        return self * (1 - 2 * logistic(self.args[0]))

    def _eval_rewrite_as_exp(self, x: sp.Expr, **_: object) -> sp.Expr:
        return sp.exp(x) / (1 + sp.exp(x)) ** 2

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_extended_real else None

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_extended_real else None

    def _eval_evalf(self, prec: int) -> sp.Expr:
        x = self.args[0]
        return (1 / (2 + sp.exp(x) + sp.exp(-x)))._eval_evalf(prec)

    def _latex(self, printer: object, exp: str | None = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"\sigma'{power}\left({sp.latex(self.args[0])}\right)"
