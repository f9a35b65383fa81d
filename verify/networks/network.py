"""The interface of a masked-token network: states of positions, a head on top, a stack of seeds underneath."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from synthetic import MASK, PAD
from synthetic.tokens import check_tokens, masked_position

# Not typing.Self, which beartype cannot check in a method that is decorated by itself.
ConfigT = TypeVar("ConfigT", bound="NetworkConfig")
NetworkT = TypeVar("NetworkT", bound="Network")


@dataclass(frozen=True)
class NetworkConfig:
    """What every architecture has to say: how many tokens, positions and features.

    Attributes:
        n_tokens: size c of the vocabulary.
        length: number T of positions.
        width: number of features of a final state.
        layers: number of layers.
        padded: whether sentences may end in PAD; if not, PAD is an error and costs nothing.
        initial_scale: factor on the standard deviation of all initial weights.
    """

    kind: ClassVar[str] = ""

    n_tokens: int
    length: int
    width: int = 32
    layers: int = 2
    padded: bool = False
    initial_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("n_tokens", "length", "width", "layers"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        self._require(0 < self.initial_scale < float("inf"), "initial_scale", "positive and finite")

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ValueError(f"expected {name} {expected}, got {getattr(self, name)}; change the configuration")

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as a plain dict, with its `kind`."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls: type[ConfigT], config: dict[str, Any]) -> ConfigT:
        """Return the configuration written by `to_json`.

        Raises:
            ValueError: another kind, or a field that is unknown, missing or of another type.
        """
        named = {field.name: field for field in fields(cls)}
        given = {name: value for name, value in config.items() if name != "kind"}
        if config.get("kind") != cls.kind:
            raise ValueError(f"expected a configuration of kind {cls.kind!r}, got {config.get('kind')!r}; use build")
        unknown, missing = given.keys() - named.keys(), {"n_tokens", "length"} - given.keys()
        if unknown or missing:
            raise ValueError(
                f"expected fields among {', '.join(named)}, got {sorted(unknown)} unknown, {sorted(missing)} missing; "
                "a configuration is what to_json wrote"
            )
        for name, value in given.items():
            expected = str(named[name].type)
            plain = {"int": (int,), "bool": (bool,), "float": (float, int)}.get(expected, (str,))
            if type(value) not in plain:
                raise ValueError(f"expected {name} of type {expected}, got {value!r}; a configuration is plain JSON")
        return cls(**given)


class Network(nn.Module, ABC):
    r"""A masked-token model p_θ(y | x_{−t}) with states of positions and a linear head.

    All parameters carry the axes `stack` first: () is one network, (R,) is R networks of the same configuration that
    are evaluated together. Sentences and contexts are int64 tokens, (example, position) for all seeds or
    (*stack, example, position) for each its own. Everything is differentiable up to the third order, by autograd and
    by torch.func, while `fast` is False. Source: ours.

    Attributes:
        config: the configuration.
        stack: leading axes of every parameter.
        fast: whether fused kernels may be used that have a first derivative only; a second one raises.
    """

    fast: bool = False

    def __init__(self, config: NetworkConfig, stack: tuple[int, ...]) -> None:
        super().__init__()
        if any(size < 1 for size in stack):
            raise ValueError(f"expected positive sizes of the stack, got {stack}; () is one network")
        self.config, self.stack = config, stack

    @property
    def n_tokens(self) -> int:
        return self.config.n_tokens

    @property
    def length(self) -> int:
        return self.config.length

    @property
    def width(self) -> int:
        return self.config.width

    def states(
        self, sentences: Int64[Tensor, "*data example position"]
    ) -> Float[Tensor, "*stack example position feature"]:
        """Return the final states of all positions; a mask is allowed and not needed; states at PAD are 0."""
        return self._explained(self._states, sentences, masks=False)

    def masked_state(
        self, contexts: Int64[Tensor, "*data example position"]
    ) -> Float[Tensor, "*stack example feature"]:
        """Return the final state at the masked position: `states` there, the others computed only where needed."""
        return self._explained(self._masked_state, contexts, masks=True)

    @abstractmethod
    def head(self, state: Float[Tensor, "*stack example feature"]) -> Float[Tensor, "*stack example token"]:
        """Return the logits of the tokens, linear in the state."""

    def forward(self, contexts: Int64[Tensor, "*data example position"]) -> Float[Tensor, "*stack example token"]:
        """Return log p_θ(y | x_{−t}) of every token, in nats."""
        return torch.log_softmax(self.head(self.masked_state(contexts)), -1)

    @abstractmethod
    def _states(self, sentences: Tensor) -> Tensor: ...

    @abstractmethod
    def _masked_state(self, contexts: Tensor) -> Tensor: ...

    @classmethod
    @abstractmethod
    def empty(cls: type[NetworkT], config: Any, stack: tuple[int, ...]) -> NetworkT:
        """Return a network whose parameters are not initialised."""

    def member(self: NetworkT, index: int) -> NetworkT:
        """Return network `index` of the stack by itself, with a copy of its parameters.

        Raises:
            IndexError: the stack is not one axis that long.
        """
        if len(self.stack) != 1 or not 0 <= index < self.stack[0]:
            raise IndexError(f"expected an index into a stack of one axis, got {index} for stack {self.stack}")
        own = self.empty(self.config, ())
        with torch.no_grad():
            own.to(next(self.parameters()).dtype)
            for name, parameter in self.named_parameters():
                own.get_parameter(name).data = parameter[index].clone()
        own.fast = self.fast
        return own

    def copy(self: NetworkT) -> NetworkT:
        """Return a network with a copy of the parameters."""
        return copy.deepcopy(self)

    def n_parameters(self) -> int:
        """Return the number of parameters of one network of the stack."""
        size = 1
        for extent in self.stack:
            size *= extent
        return sum(parameter.numel() for parameter in self.parameters()) // size

    def token_index(self, tokens: Int64[Tensor, "..."]) -> Int64[Tensor, "..."]:
        """Return rows of the embedding table: the token, c for MASK (and PAD, if padded), −1 for anything else."""
        c = self.n_tokens
        lowest = PAD if self.config.padded else MASK
        row = torch.where(tokens < 0, c, tokens)
        return torch.where((tokens >= lowest) & (tokens < c), row, -1)

    def masked_index(self, contexts: Int64[Tensor, "*data example position"]) -> Int64[Tensor, "*data example"]:
        """Return the masked position, or T, which no position has, where there is not exactly one."""
        masked = (contexts == MASK).to(torch.int64)
        return torch.where(masked.sum(-1) == 1, masked.argmax(-1), self.length)

    def _explained(self, compute: Any, tokens: Tensor, *, masks: bool) -> Tensor:
        """Run a computation in which bad tokens index out of bounds; if one did, say what was wrong with them."""
        if tokens.shape[-1] != self.length or tokens.ndim not in {2, 2 + len(self.stack)}:
            raise ValueError(
                f"expected tokens of shape (example, {self.length}) or {(*self.stack, 'example', self.length)}, "
                f"got {tuple(tokens.shape)}; give one row per sentence"
            )
        try:
            result: Tensor = compute(tokens)
        except (IndexError, RuntimeError) as error:
            if "out of range" not in str(error) and "out of bounds" not in str(error):
                raise
            rows = tokens.reshape(-1, self.length)
            check_tokens(rows, n_tokens=self.n_tokens, length=self.length, padded=self.config.padded, masks=True)
            if masks:
                masked_position(rows)
            raise
        return result


def draw_normal(
    parameter: nn.Parameter, deviation: float, generators: Sequence[torch.Generator], stack: tuple[int, ...]
) -> None:
    """Fill a parameter with independent N(0, deviation²), each seed of the stack from its own generator.

    Numbers are drawn in float64 on the CPU, so that neither dtype nor device nor the other seeds change them.
    """
    shape = parameter.shape[len(stack) :]
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for generator in generators]
    with torch.no_grad():
        parameter.copy_(torch.stack(drawn).reshape(parameter.shape) * deviation)


def check_generators(generators: Sequence[torch.Generator], stack: tuple[int, ...]) -> None:
    """Raise unless there is one generator for each network of the stack.

    Raises:
        ValueError: another number.
    """
    size = 1
    for extent in stack:
        size *= extent
    if len(generators) != size:
        raise ValueError(f"expected {size} generators, one for each network of stack {stack}, got {len(generators)}")
