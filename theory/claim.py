"""What a claim is: a theorem with its hypotheses, its derivation and the numbers it predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from theory.formula import Formula
from theory.kernel import Derivation


@dataclass(frozen=True)
class Claim:
    """One theorem.

    Attributes:
        id: the name used in every part of the project.
        place: in its chapter; the chapter is the package that the derivation is written in.
        title: one line.
        statement: the theorem in LaTeX.
        hypotheses: what it assumes, in words.
        uses: ids of the claims it rests on.
        source: where it comes from; "second-hand" marks what was not read in the original.
        derive: builds the derivation; called once, on first use.
        formulas: what makes the closed form of each variant, from the derivation; "" is the main one.
    """

    id: str
    title: str
    statement: str
    hypotheses: tuple[str, ...]
    uses: tuple[str, ...]
    source: str
    derive: Callable[[], Derivation]
    formulas: Mapping[str, Callable[[Derivation], Formula]] = field(default_factory=dict)
    place: int = 0

    @property
    def chapter(self) -> str:
        """Name of the package of claims that holds the derivation."""
        return self.derive.__module__.split(".")[-2]

    @property
    def module(self) -> str:
        """Name of the claim's files, without chapter and ending."""
        return self.id.replace("-", "_")

    @cached_property
    def derivation(self) -> Derivation:
        """The checked derivation.

        Raises:
            CheckFailedError: a step does not hold.
        """
        return self.derive()

    @property
    def status(self) -> str:
        """Computed status of the derivation."""
        return self.derivation.status

    def formula(self, variant: str = "") -> Formula:
        """Return the closed form of a variant.

        Raises:
            KeyError: there is no such variant.
        """
        if variant not in self.formulas:
            known = ", ".join(name or "(main)" for name in self.formulas) or "none"
            raise KeyError(f"{self.id} has no closed form {variant!r}; it has {known}")
        if variant not in self._built:
            self._built[variant] = self.formulas[variant](self.derivation)
        return self._built[variant]

    @cached_property
    def _built(self) -> dict[str, Formula]:
        return {}

    def select_variant(self, values: dict[str, str]) -> str:
        """Take the variant named by `loss` or `variant` out of the command line's values; "" when there is none.

        Raises:
            KeyError: the claim has no closed form of that name.
        """
        for key in ("loss", "variant"):
            if key in values and len(self.formulas) > 1:
                name = values.pop(key)
                self.formula(name)
                return name
        return ""

    def predict(self, variant: str = "", /, **values: float) -> float:
        """Evaluate the closed form: the only source of a predicted number anywhere in the project."""
        return self.formula(variant)(**values)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.statement}$"
