"""The training loop: many seeds at once, resumable to the bit, and going on when one of them diverges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthetic import Language
from verify.networks import Network
from verify.training.config import Training
from verify.training.diverged import AllDivergedError, Divergence, ResumeError
from verify.training.objective import DTYPES, Objective
from verify.training.parameters import FlatParameters, members_of, network_at, per_member
from verify.training.tables import ContextTable, tables_of
from verify.training.threads import torch_threads


class Trainer:
    """Trains the members of a stack, on one language or each on its own, on streams of fresh examples of their own.

    A member whose loss is bad is put back to its last good parameters and frozen there; the others go on
    (`divergences`). Members never touch each other's numbers. Each step measures before it moves, so that the
    parameters after the last step are those that no loss has been measured at yet.

    Its `state` can be stored and put back, as `verify.runs.Work` wants.

    Args:
        network: where training starts; copied, and left as it is.
        language: whose masked-token task is learnt; one for all members, or one per member, of the same vocabulary size
            and length.
        config: how.
        seeds: one per member (one number for a stack of ()); they decide all random numbers of training.
        table: the contexts of each language, if the caller has them; else they are written out when that is cheap.
        device: where to train; default: where the network is.
        threads: of torch on the CPU while it trains. The matrices of a step are small, so that one is as fast as
            several, and on a busy machine many times faster; None leaves torch as it is.

    Attributes:
        step: number of finished steps.
        network: the network in training, a view of the current parameters.
        theta: the current parameters, (member, parameter).
        curve: mean masked loss of every `record_every` steps, before the step's update; NaN where frozen.
        divergences: the members that diverged.

    Raises:
        ValueError: there is not one seed per member, seeds repeat, or several languages are not one per member or do
            not have the network's shape, or tables are not one per language; or threads < 1.
        ConfigurationError: the configuration does not fit the language or the device.
    """

    def __init__(
        self,
        network: Network,
        language: Language | Sequence[Language],
        config: Training,
        seeds: Sequence[int],
        *,
        table: ContextTable | Sequence[ContextTable] | None = None,
        device: torch.device | str | None = None,
        threads: int | None = 1,
    ) -> None:
        members = members_of(network)
        if len(seeds) != members or len(set(seeds)) != members:
            raise ValueError(
                f"expected {members} different seeds for a network of stack {network.stack}, got {list(seeds)}; "
                "equal seeds would see the same examples"
            )
        if threads is not None and threads < 1:
            raise ValueError(f"expected at least one thread, got {threads}; None leaves torch as it is")
        self.config = config
        self._threads = threads
        self.seeds = tuple(seeds)
        place = device if device is not None else next(network.parameters()).device
        self._flat = FlatParameters(network, DTYPES[config.precision], place)
        self.network, self.theta = self._flat.network, self._flat.theta
        languages = [language] if isinstance(language, Language) else list(language)
        shapes = {(own.n_tokens, own.length) for own in languages}
        if len(languages) not in {1, members} or shapes != {(network.n_tokens, network.length)}:
            raise ValueError(
                f"expected one language or {members}, of {network.n_tokens} tokens and length {network.length}, got "
                f"{len(languages)} of (tokens, length) {sorted(shapes)}; give one per seed, of the network's shape"
            )
        tables = tables_of(languages, table)
        self._contexts = None if tables is None else [len(own.contexts) for own in tables]
        self._objective = Objective(self._flat, languages, tables, config, seeds)
        self._bound = 10 * math.log(max(network.n_tokens, 2))
        self._rate = per_member(config.rate, members, what="learning rate", like=self.theta)[:, None]
        self._optimiser_state = config.optimiser.start(self.theta)
        self._previous = self.theta.clone()
        self._window = torch.zeros(config.record_every, members, dtype=self.theta.dtype, device=place)
        self._alive = torch.ones(members, dtype=torch.bool, device=place)
        self._bad_step = torch.full((members,), -1, device=place)
        self._bad_loss = torch.zeros(members, dtype=self.theta.dtype, device=place)
        self._curve: list[Tensor] = []
        self.step = 0

    @property
    def alive(self) -> Bool[Tensor, " member"]:
        return self._alive.clone()

    @property
    def curve(self) -> Float[Tensor, "record member"]:
        """The training curve, float64."""
        return torch.stack(self._curve) if self._curve else torch.empty(0, len(self.theta), dtype=torch.float64)

    @property
    def divergences(self) -> tuple[Divergence, ...]:
        """How the members that diverged ended."""
        ends = enumerate(zip(self._bad_step.tolist(), self._bad_loss.tolist(), strict=True))
        return tuple(Divergence(self.seeds[r], r, step, loss, self._bound) for r, (step, loss) in ends if step >= 0)

    def snapshot(self) -> Network:
        """Return a copy of the network as it is, in float64."""
        return network_at(self.network, self.theta, dtype=torch.float64)

    def run(self, until: int) -> None:
        """Train until `until` steps are finished.

        Raises:
            AllDivergedError: no member is left; the message says how each ended.
        """
        with torch_threads(self._threads):
            while self.step < until:
                self._advance()
            self._require_alive()

    def _advance(self) -> None:
        """Make one step: measure, put bad members back, move, keep frozen members where they are."""
        loss, gradient = self._objective()
        bad = self._alive & ~(loss <= self._bound)
        self._alive = self._alive & ~bad
        self._bad_step = torch.where(bad, self.step, self._bad_step)
        self._bad_loss = torch.where(bad, loss, self._bad_loss)
        self._window[self.step % len(self._window)] = torch.where(self._alive, loss, math.nan)
        good = torch.where(bad[:, None], self._previous, self.theta)
        rate = self._rate * self.config.factor(self.step)
        self.config.optimiser.step(self.theta, gradient, self._optimiser_state, rate)
        self.theta.copy_(torch.where(self._alive[:, None], self.theta, good))
        self._previous = good
        self.step += 1
        if self.step % len(self._window) == 0:
            self._curve.append(self._window.double().mean(0).cpu())
            self._require_alive()

    def _require_alive(self) -> None:
        """Check that there is something left to train; only now and then, because the device has to be waited for.

        Raises:
            AllDivergedError: no member is left.
        """
        if not bool(self._alive.any()):
            raise AllDivergedError("; ".join(map(str, self.divergences)) + "; lower the learning rate")

    def _tensors(self) -> dict[str, Tensor]:
        """Return the tensors, not copied, that are of fixed size and decide how training goes on."""
        return {
            "theta": self.theta,
            "previous": self._previous,
            "window": self._window,
            "alive": self._alive,
            "bad_step": self._bad_step,
            "bad_loss": self._bad_loss,
            **{f"optimiser.{name}": value for name, value in self._optimiser_state.items()},
        }

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that decides how training goes on: tensors by name, and plain JSON values."""
        streams, places = self._objective.state()
        tensors = self._tensors() | {"curve": self.curve}
        tensors |= {f"stream.{name}": value for name, value in streams.items()}
        return {name: value.detach().clone() for name, value in tensors.items()}, {
            **self._identity(),
            "step": self.step,
            "places": places,
        }

    def restore(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Go on exactly where `state` was taken, by another trainer of the same network, language and configuration.

        Raises:
            ResumeError: the state is of another configuration, seeds, network or table, or lacks a tensor.
        """
        for name, own in self._identity().items():
            if metadata.get(name) != own:
                raise ResumeError(f"expected a state with {name} = {own}, got {metadata.get(name)}; start a new run")
        ours, _ = self.state()
        missing = sorted(set(ours) - set(tensors))
        if missing or any(tensors[name].shape != own.shape for name, own in self._tensors().items()):
            shapes = {name: tuple(value.shape) for name, value in tensors.items()}
            raise ResumeError(f"expected the tensors of this trainer, got {shapes}, without {missing}; start a new run")
        for name, own in self._tensors().items():
            own.copy_(tensors[name])
        self._curve = list(tensors["curve"].cpu())
        self.step = int(metadata["step"])
        streams = {name.removeprefix("stream."): tensors[name] for name in ours if name.startswith("stream.")}
        self._objective.restore(streams, dict(metadata["places"]))

    def _identity(self) -> dict[str, Any]:
        """Return what a saved state must agree on, as plain JSON values."""
        layout = [[name, list(parameter.shape)] for name, parameter in self.network.named_parameters()]
        return {
            "seeds": list(self.seeds),
            "training": self.config.to_json(),
            "parameters": layout,
            "contexts in the table": self._contexts,  # which decides how examples are drawn
        }
