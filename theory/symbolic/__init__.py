"""A small model of one's own in symbols: its loss, minimisers, curvature, gradient noise and slow flow.

model        `SymbolicModel`, and all that it derives
emptiness    whether the conditions of Γ contradict each other
definition   what defines one, and what is checked of it
examples     the models of the claims, written so
"""

from theory.symbolic.definition import SymbolicModelError
from theory.symbolic.model import SymbolicModel

__all__ = ["SymbolicModel", "SymbolicModelError"]
