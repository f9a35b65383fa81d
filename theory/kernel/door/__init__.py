"""One door into the ledger: before a step enters, its statement is evaluated where its premises hold.

    refute          tries to refute a step
    model           an interpretation of symbols by an actual system
    interpretation  a step, and a hypothesis, in a model
    examination     a derivation in all its models
    contradiction   premises that no point can satisfy, as far as the checkers show it
    admissible      points that satisfy the premises
    setting         the premises, solved for what they determine
    evaluate        expressions at a point
    values          exact rationals, enclosures, truncated series

It shares no code with the checkers: what deceives them must deceive it as well, at every point tried, to come through.
"""

from theory.kernel.door.examination import examine
from theory.kernel.door.model import HOLDS, Examined, Model, enclosed
from theory.kernel.door.refute import attack

__all__ = ["HOLDS", "Examined", "Model", "attack", "enclosed", "examine"]
