"""What a curvature estimate averages over: batches of inputs with p*, or with targets, and where they come from.

A model is any `nn.Module`; its likelihood is a `LogProb`, which turns a batch of inputs into rows of log p_θ(y | x),
one row for each prediction. Most models make one prediction per example; a causal one makes one per position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from synthetic import Language

Inputs = Tensor | Mapping[str, Tensor]
"""Inputs of a batch: a tensor, or tensors by name; the leading axis is `example`."""

LogProb = Callable[[nn.Module, Any], Tensor]
"""(model, inputs) ↦ log p_θ(y | x) of shape (row, token), normalised, in nats."""


def call_model(model: nn.Module, inputs: Inputs) -> Float[Tensor, "*row token"]:
    """Return model(inputs), for a model that returns log p_θ(y | x) itself."""
    rows: Tensor = model(inputs)
    return rows


def softmax_of_model(model: nn.Module, inputs: Inputs) -> Float[Tensor, "*row token"]:
    """Return log_softmax(model(inputs)), for a model that returns scores."""
    return torch.log_softmax(model(inputs), dim=-1)


class Labelled:
    """Inputs, and for every row what is known of the label.

    Args:
        inputs: what `LogProb` is given.
        log_conditional: log p*(y | x) in nats, or a function that computes it when it is first asked for.
        targets: a label y for each row.
        weight: weight of each row in the loss, summing to one; None means equal weights.
    """

    def __init__(
        self,
        inputs: Inputs,
        log_conditional: Tensor | Callable[[], Tensor] | None = None,
        targets: Int64[Tensor, " row"] | None = None,
        weight: Float[Tensor, " row"] | None = None,
    ) -> None:
        self.inputs = inputs
        self.targets = targets
        self.weight = weight
        self._log_conditional = log_conditional

    @property
    def log_conditional(self) -> Float[Tensor, "row token"] | None:
        """The rows log p*(y | x), or None where it is not known."""
        if callable(self._log_conditional):
            self._log_conditional = self._log_conditional()
        return self._log_conditional


@runtime_checkable
class Data(Protocol):
    """A law of inputs that independent batches are drawn from."""

    def draw(self, n: int, generator: torch.Generator) -> Labelled:
        """Return a batch of n independent examples."""
        ...


def select(inputs: Inputs, index: Tensor) -> Inputs:
    """Return the examples of `inputs` at `index`, an int64 tensor or a bool mask."""
    if isinstance(inputs, Tensor):
        return inputs[index.to(inputs.device)]
    return {name: value[index.to(value.device)] for name, value in inputs.items()}


def n_examples(inputs: Inputs) -> int:
    """Return the number of examples in `inputs`."""
    return len(inputs) if isinstance(inputs, Tensor) else len(next(iter(inputs.values())))


class Population:
    """Finitely many inputs x with their probabilities and p*(y | x): every expectation is a finite sum.

    Args:
        inputs: every x; one row of log-likelihood each.
        prob: π(x), summing to one.
        conditional: p*(y | x), rows summing to one.

    Raises:
        ValueError: the shapes do not agree, or something that should be a probability vector is not one.
    """

    def __init__(
        self, inputs: Inputs, prob: Float[Tensor, " example"], conditional: Float[Tensor, "example token"]
    ) -> None:
        if not n_examples(inputs) == len(prob) == len(conditional):
            raise ValueError(
                f"Population: expected one probability and one conditional for each of {n_examples(inputs)} inputs, "
                f"got {len(prob)} and {len(conditional)}; give one row per input"
            )
        for name, table in (("prob", prob), ("conditional", conditional)):
            # a sum of n rounded numbers errs by n ε, each of them by a few ε
            rounding = 8 * table.shape[-1] * torch.finfo(table.dtype).eps
            if bool((table < 0).any()) or not bool(((table.sum(-1) - 1).abs() <= rounding).all()):
                raise ValueError(
                    f"Population: expected {name} to be non-negative and to sum to 1, got a least entry "
                    f"{float(table.min()):.3g} and sums from {float(table.sum(-1).min()):.17g} to "
                    f"{float(table.sum(-1).max()):.17g}; normalise it"
                )
        self.inputs, self.prob, self.conditional = inputs, prob, conditional

    def draw(self, n: int, generator: torch.Generator) -> Labelled:
        """Return n inputs drawn from π with replacement, with their conditionals."""
        index = torch.multinomial(self.prob.to(generator.device), n, replacement=True, generator=generator)
        chosen = self.conditional[index.to(self.conditional.device)]
        return Labelled(select(self.inputs, index), lambda: chosen.log())

    @property
    def size(self) -> int:
        """Number of inputs of positive probability."""
        return int((self.prob > 0).sum())

    def whole(self) -> Labelled:
        """Return every input of positive probability, weighted by π: the loss on it is the population loss."""
        used = self.prob > 0
        return Labelled(select(self.inputs, used), self.conditional[used].log(), weight=self.prob[used])


class LanguageData:
    """The masked-token task of a language: contexts from `sample_masked`, exact p* from `log_masked_conditional`.

    p* is computed only when a method asks for it. With `exact=False` only the sampled targets are known.
    """

    def __init__(self, language: Language, *, exact: bool = True, device: torch.device | str | None = None) -> None:
        self.language, self.exact, self.device = language, exact, device

    def draw(self, n: int, generator: torch.Generator) -> Labelled:
        """Return n masked sentences, with their targets and the exact conditionals."""
        sample = self.language.sample_masked(n, generator, self.device)
        conditional = (lambda: self.language.log_masked_conditional(sample.contexts)) if self.exact else None
        return Labelled(sample.contexts, conditional, sample.targets)

    def population(self) -> Population:
        """Return every context with its probability, where the language is small enough to be enumerated."""
        whole = self.language.enumerate_contexts()
        conditional = self.language.masked_conditional(whole.contexts)
        place = self.device or "cpu"
        return Population(whole.contexts.to(place), whole.prob.to(place), conditional.to(place))


class Examples:
    """A data set: batches are drawn from it with replacement, so that expectations are averages over it.

    Args:
        inputs: the examples.
        targets: the label of each row, of shape (example,), or (example, position) where one example makes several
            rows in this order. Entries of −100 have no row.

    Raises:
        ValueError: the numbers of examples differ, or there are none.
    """

    def __init__(self, inputs: Inputs, targets: Int64[Tensor, "example *position"] | None = None) -> None:
        n = n_examples(inputs)
        if n < 1 or (targets is not None and len(targets) != n):
            raise ValueError(
                f"Examples: expected at least one example and targets for each, got {n} examples and "
                f"{None if targets is None else len(targets)} targets; give one row of targets per example"
            )
        self.inputs, self.targets, self.n = inputs, targets, n

    def draw(self, n: int, generator: torch.Generator) -> Labelled:
        """Return n examples drawn uniformly with replacement."""
        index = torch.randint(self.n, (n,), generator=generator, device=generator.device)
        if self.targets is None:
            return Labelled(select(self.inputs, index))
        targets = self.targets[index.to(self.targets.device)].flatten()
        return Labelled(select(self.inputs, index), targets=targets[targets != -100])
