"""The conformance suite: what any `Language` must satisfy, for users to run on a language of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synthetic.language import Language
from synthetic.testing.oracle import Case, Failure, Skip
from synthetic.testing.properties import PROPERTIES


class ConformanceError(AssertionError):
    """A language fails a property that every language must have.

    Attributes:
        property_name: the failed property, one of the keys of `synthetic.testing.properties.PROPERTIES`.
    """

    def __init__(self, property_name: str, language: object, detail: str) -> None:
        super().__init__(f"{language!r} fails '{property_name}': {detail}")
        self.property_name = property_name


@dataclass(frozen=True)
class ConformanceReport:
    """Properties that hold, and those not checked with the reason (a language too large to enumerate, no tasks)."""

    passed: tuple[str, ...]
    skipped: Mapping[str, str]


def conformance(language: Language, *, n: int = 20_000, level: float = 1e-6, seed: int = 0) -> ConformanceReport:
    """Check that a language keeps the promises of the interface; against exact enumeration where it is small enough.

    The deterministic checks compare with Fractions to 1e-12 relative. The sampling checks draw n sentences and ask
    that the empirical distribution stay inside a DKWM band; together they fail an honest language with probability
    at most `level` over the choice of `seed`, and catch any distribution whose cumulative one is off by more than
    twice the band (0.04 at the defaults). A language too large to enumerate is checked against Bayes' rule on its
    own `log_prob`, and the report names what was skipped.

    Args:
        language: the language on trial.
        n: sample size of each frequency check.
        level: false-alarm probability of all sampling checks together.
        seed: seed of the generators handed to the language.

    Raises:
        ConformanceError: naming the first property that fails.
    """
    case = Case(language, n, level, seed)
    passed, skipped = [], {}
    for name, check in PROPERTIES.items():
        try:
            check(case)
        except Skip as reason:
            skipped[name] = str(reason)
        except Failure as failure:
            raise ConformanceError(name, language, str(failure)) from None
        except Exception as error:
            raise ConformanceError(name, language, f"raised {type(error).__name__}: {error}") from error
        else:
            passed.append(name)
    return ConformanceReport(tuple(passed), skipped)
