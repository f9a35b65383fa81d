"""The configuration of a training run: a frozen value with a plain JSON form."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from verify.training.adversary import Adversary
from verify.training.averaging import Averaging
from verify.training.labels import LABELS, Labels
from verify.training.optimisers import OPTIMISERS, SGD, AdamW
from verify.training.schedules import Schedule
from verify.training.trace_penalty import TracePenalty

Precision = Literal["float32", "float64", "bfloat16"]
T = TypeVar("T")
PRECISIONS: tuple[Precision, ...] = ("float32", "float64", "bfloat16")


class ConfigurationError(ValueError):
    """A training configuration that cannot be: an unknown key, kind or value."""


@dataclass(frozen=True)
class Training:
    """Everything that decides a training run, but for the network, the language and the seeds.

    Attributes:
        rate: learning rate η at factor one of the schedule; one number or one per member.
        batch: examples per step and member, drawn afresh.
        labels: sampled, soft or isotropic (`labels`).
        optimiser: SGD (with momentum) or AdamW.
        schedule: factor on η by step.
        average: which average of θ is kept; None for none.
        trace_penalty: term ±λ tr F̂; None for none.
        adversary: term −λ·(loss of a linear head on the features); None for none.
        decay_vectors: whether weight decay acts on biases and gains as well as on matrices.
        precision: of training: float32, float64, or bfloat16 (matrix products only, on CUDA; parameters stay
            float32). Measurements are made in float64 whatever this is.
        loss_bound: a member diverges when its loss is not finite or above this; None for 10 log c nats, ten times the
            loss of a uniform guess.
        record_every: steps whose mean loss makes one point of the training curve; divergence is reported then.
        prefetch: steps of examples drawn at once.

    Raises:
        ConfigurationError: a value is out of range or unknown.
    """

    rate: float | tuple[float, ...]
    batch: int = 128
    labels: Labels = "sampled"
    optimiser: SGD | AdamW = field(default_factory=AdamW)
    schedule: Schedule = field(default_factory=Schedule)
    average: Averaging | None = None
    trace_penalty: TracePenalty | None = None
    adversary: Adversary | None = None
    decay_vectors: bool = False
    precision: Precision = "float32"
    loss_bound: float | None = None
    record_every: int = 16
    prefetch: int = 64

    def __post_init__(self) -> None:
        rates = self.rate if isinstance(self.rate, tuple) else (self.rate,)
        if not rates or not all(0 <= rate < float("inf") for rate in rates):
            raise ConfigurationError(f"expected finite learning rates >= 0, got {self.rate}")
        for name in ("batch", "record_every", "prefetch"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"expected {name} >= 1, got {getattr(self, name)}")
        for name, allowed in (("labels", LABELS), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"expected {name} among {', '.join(allowed)}, got {getattr(self, name)!r}; choose one of them"
                )
        if self.loss_bound is not None and not self.loss_bound > 0:
            raise ConfigurationError(f"expected loss_bound > 0 or None, got {self.loss_bound}")
        if self.trace_penalty is not None and self.trace_penalty.examples > self.batch:
            raise ConfigurationError(
                f"expected a trace penalty on at most the {self.batch} examples of a batch, got "
                f"{self.trace_penalty.examples}; lower its examples"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values, with the optimiser's kind."""
        plain: dict[str, Any] = asdict(self)
        plain["optimiser"] = {"kind": self.optimiser.kind, **plain["optimiser"]}
        listed: dict[str, Any] = _lists(plain)
        return listed

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Training:
        """Return the configuration that `to_json` wrote; what is left out has its default.

        Raises:
            ConfigurationError: a key or the kind of optimiser is unknown, or a value is refused.
        """
        values = dict(plain)
        parts: dict[str, type[Any]] = {
            "schedule": Schedule,
            "average": Averaging,
            "trace_penalty": TracePenalty,
            "adversary": Adversary,
        }
        if isinstance(optimiser := values.get("optimiser"), Mapping):
            values["optimiser"] = {key: value for key, value in optimiser.items() if key != "kind"}
            kind = str(optimiser.get("kind"))
            if kind not in OPTIMISERS:
                raise ConfigurationError(f"expected an optimiser of kind {', '.join(OPTIMISERS)}, got {kind!r}")
            parts["optimiser"] = OPTIMISERS[kind]
        for name, part in parts.items():
            if isinstance(values.get(name), Mapping):
                values[name] = _made(part, values[name])
        return _made(cls, values)


def _made(kind: type[T], values: Mapping[str, Any]) -> T:
    """Build a dataclass from JSON values.

    Raises:
        ConfigurationError: a key is unknown, one is missing, or a value is of another type or refused.
    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # a dataclass, which type[T] cannot say
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigurationError(f"{kind.__name__}: unknown {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    hints = get_type_hints(kind)
    try:
        return kind(**{name: _typed(name, value, hints[name]) for name, value in values.items()})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{kind.__name__}: {error}") from error


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Return a JSON value as the annotated type: a list as a tuple, an integer as a float where one is meant.

    Raises:
        TypeError: it is of another type; no bool is a number, and a number is finite.
    """
    inner = get_args(hint)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_typed(name, one, inner[0]) for one in value)
    if get_origin(hint) is Literal and value in inner:
        return value
    if get_origin(hint) in {Union, UnionType}:
        for one in inner:
            with contextlib.suppress(TypeError):
                return _typed(name, value, one)
    if hint is float and type(value) in {int, float} and math.isfinite(value):
        return float(value)
    if type(value) is hint and hint is not float:
        return value
    raise TypeError(f"expected {name} of type {getattr(hint, '__name__', hint)}, got {value!r}")


def _lists(value: Any) -> Any:
    """Return nested values with tuples as lists, as JSON has them."""
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, tuple) else value
