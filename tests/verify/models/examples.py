"""A model of the tests."""

from __future__ import annotations

from torch import Tensor

from verify.models import FiniteModel


class Opaque(FiniteModel):
    """Another model stripped of its closed forms, as a symbolic one looks to the engines: the generic path."""

    def __init__(self, model: FiniteModel) -> None:
        self.inner, self.name, self.layout = model, model.name, model.layout
        self.contexts, self.context_prob, self.conditional = model.contexts, model.context_prob, model.conditional

    def scores(self, theta: Tensor, contexts: Tensor) -> Tensor:
        return self.inner.scores(theta, contexts)
