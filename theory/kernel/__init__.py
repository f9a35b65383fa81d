"""The proof kernel: all that must be trusted, and nothing else.

`Derivation` is a chain of steps, each checked as it is added; `Terms`, `Termwise` and `RootIsolation` are certificates
of inequalities; `Model` is a system in which all is evaluated; `logistic` and `logistic_slope` are the functions that
claims are written in.

    derivation     what a step is, and the ledger of what has been checked
    language       what a statement is made of: it is rebuilt from exact types before anything is done with it
    premises       what a step rests on, and what becomes of it when symbols are replaced
    substitution   replacing symbols so that no Σ, limit or derivative captures one
    normal_form    identities: an exact normal form of a difference
    points         the second channel: exact values at random rational points
    inequality     inequalities from terms of known sign, from roots isolated, from terms summed
    structural     sums of earlier steps, induction along a recurrence
    analysis       differential equations, limits, series, enumerations
    dynamics       what may be said along a flow
    door           the last check of every step, by an evaluator that shares no code with the others: it is attacked at
                   random points and, when the derivation is concluded, evaluated in models
    domain, signs  where an expression is defined, and what is evidently positive
    notation       how a derivation shows itself
"""

from theory.kernel.derivation import Derivation, Step
from theory.kernel.door import Model, enclosed
from theory.kernel.failure import CheckFailedError
from theory.kernel.functions import logistic, logistic_slope
from theory.kernel.inequality import RootIsolation, Terms, Termwise

__all__ = [
    "CheckFailedError",
    "Derivation",
    "Model",
    "RootIsolation",
    "Step",
    "Terms",
    "Termwise",
    "enclosed",
    "logistic",
    "logistic_slope",
]
