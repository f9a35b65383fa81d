"""What is claimed, and why: sympy, numpy and networkx only.

claims     the claims, chapter by chapter: `from theory.claims import find`
kernel     the proof kernel: `from theory.kernel import Derivation`
symbolic   derive a model of one's own: `from theory.symbolic import SymbolicModel`
claim      what a claim is
formula    its closed form as something to evaluate
display    a derivation as text for a terminal, as LaTeX, as JSON
graph      which claim rests on which
"""

from theory.claim import Claim
from theory.formula import Formula, Parameter, ParameterError, closed_form

__all__ = ["Claim", "Formula", "Parameter", "ParameterError", "closed_form"]
