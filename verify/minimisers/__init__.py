"""The set Γ = {p_θ = p*} of minimisers of a finite model: points on it, the slow flow along it, its flattest point.

- `constraint`: the equation of Γ, whose Jacobian is a square root of the Hessian
- `retraction`: random points of Γ, the way to it, its tangent space
- `flow`, `trace_clock`: the slow flow dθ/dτ = −κ P_T ∇ tr H, and the time at which it takes a trace
- `flattest`: least trace by descent along Γ; `dictionary`: over relu directions, with a certificate
"""

from verify.minimisers.constraint import MinimiserConstraint
from verify.minimisers.dictionary import DictionaryMinimum, bracket_dictionary_minimum, dictionary_minimum
from verify.minimisers.flattest import TraceMinimum, minimise_trace
from verify.minimisers.flow import FlowError, FlowResult, RankChangeError, SlowFlow
from verify.minimisers.retraction import (
    NotOnManifoldError,
    RetractionError,
    gauss_newton,
    random_minimiser,
    retract,
    tangent_projection,
)
from verify.minimisers.trace_clock import time_of_trace

__all__ = [
    "DictionaryMinimum",
    "FlowError",
    "FlowResult",
    "MinimiserConstraint",
    "NotOnManifoldError",
    "RankChangeError",
    "RetractionError",
    "SlowFlow",
    "TraceMinimum",
    "bracket_dictionary_minimum",
    "dictionary_minimum",
    "gauss_newton",
    "minimise_trace",
    "random_minimiser",
    "retract",
    "tangent_projection",
    "time_of_trace",
]
