"""Checkpoints at matched excess loss: for every member, the first measured point at or below each target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from verify.networks.network import Network
from verify.training.excess import Reference, excess_loss
from verify.training.parameters import network_at
from verify.training.trainer import Trainer


class FirstCrossing:
    """Keeps, per target and member, the first θ whose excess is at most the target, with its step and excess.

    The first *measured* crossing: the true one lies up to one measuring interval earlier, and the excess found is below
    the target by what was gained in that interval; both are kept, neither is interpolated. A member whose excess rises
    again keeps its first crossing. NaN never crosses.

    Args:
        targets: excess losses in nats, each positive.
        members: of the stack.

    Attributes:
        targets: in the order given.
        step: step of the crossing, −1 where there is none yet.
        excess: excess found there, NaN where there is none.
        theta: parameters there, float64; allocated at the first observation.
        last: step of the last observation, −1 before the first.

    Raises:
        ValueError: there is no target, or one is not positive and finite.
    """

    def __init__(self, targets: Sequence[float], members: int) -> None:
        if not targets or not all(0 < target < math.inf for target in targets):
            raise ValueError(f"expected positive, finite target excesses, got {list(targets)}; zero is not reached")
        self.targets = tuple(targets)
        self.step: Int64[Tensor, "target member"] = torch.full((len(targets), members), -1)
        self.excess: Float[Tensor, "target member"] = torch.full((len(targets), members), math.nan).double()
        self.theta: Float[Tensor, "target member parameter"] | None = None
        self.last = -1

    @property
    def crossed(self) -> Bool[Tensor, "target member"]:
        """Which targets each member has reached."""
        return self.step >= 0

    @property
    def done(self) -> bool:
        """Whether every member has reached every target."""
        return bool(self.crossed.all())

    def observe(
        self, step: int, excess: Float[Tensor, " member"], theta: Float[Tensor, "member parameter"]
    ) -> Bool[Tensor, "target member"]:
        """Take one measurement and return what was crossed by it.

        Raises:
            ValueError: steps do not increase, so that `first` would mean nothing, or members are missing.
        """
        if step <= self.last:
            raise ValueError(f"expected a step after {self.last}, got {step}; observe in order of training")
        if not len(excess) == len(theta) == self.step.shape[1]:
            raise ValueError(
                f"expected {self.step.shape[1]} members, got {len(excess)} excess losses and {len(theta)} rows of "
                "parameters; say how many members there are"
            )
        self.last = step
        if self.theta is None:
            self.theta = torch.full((len(self.targets), *theta.shape), math.nan, dtype=torch.float64)
        targets = torch.tensor(self.targets, dtype=torch.float64)[:, None]
        found = (excess.double().cpu() <= targets) & ~self.crossed
        self.step[found] = step
        self.excess = torch.where(found, excess.double().cpu(), self.excess)
        self.theta = torch.where(found[..., None], theta.detach().double().cpu(), self.theta)
        return found

    def network(self, template: Network, target: int) -> Network:
        """Return the networks at one target, in float64, as a stack of the template's kind.

        Raises:
            ValueError: a member has not reached it.
        """
        missing = (~self.crossed[target]).nonzero()[:, 0].tolist()
        if missing or self.theta is None:
            raise ValueError(
                f"expected every member at excess {self.targets[target]:.6g}, got none for members {missing}; "
                "train longer, raise the target, or polish (see `polish`)"
            )
        return network_at(template, self.theta[target], dtype=torch.float64)

    def state(self) -> dict[str, Tensor]:
        """Return the crossings found so far, by name."""
        found = {"step": self.step.clone(), "excess": self.excess.clone()}
        found |= {"targets": torch.tensor(self.targets, dtype=torch.float64), "last": torch.tensor(self.last)}
        return found if self.theta is None else {**found, "theta": self.theta.clone()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with crossings found before.

        Raises:
            ValueError: they are of other targets or members.
        """
        targets, members = tuple(tensors["targets"].tolist()), tensors["step"].shape[1]
        if targets != self.targets or members != self.step.shape[1]:
            raise ValueError(
                f"expected crossings of targets {self.targets} by {self.step.shape[1]} members, got {targets} by "
                f"{members}; restore with the same targets and seeds"
            )
        self.last = int(tensors["last"])
        self.step, self.excess = tensors["step"].clone(), tensors["excess"].clone()
        self.theta = tensors["theta"].clone() if "theta" in tensors else None


class ExcessMonitor:
    """A hook (`Every(k, monitor)`) that measures the exact excess, records its curve and looks for crossings.

    What is measured is the averaged network where the trainer keeps an average, else the current one: at equal
    parameters noise alone lifts the excess of the current one by (η/4B) tr H (the plateau), so that runs of different
    noise are compared at unequal distances from Γ unless it is averaged away.

    Args:
        reference: contexts of the measurement.
        targets: excess losses whose first crossing is kept; none by default.
        members: of the stack, for the crossings.

    Attributes:
        steps: steps of the measurements.
        curve: excess losses, one tensor (member,) per measurement.
        crossing: the crossings; None without targets.
    """

    def __init__(self, reference: Reference, targets: Sequence[float] = (), members: int = 1) -> None:
        self.reference = reference
        self.steps: list[int] = []
        self.curve: list[Tensor] = []
        self.crossing = FirstCrossing(targets, members) if targets else None

    def __call__(self, trainer: Trainer) -> None:
        """Measure, unless this step has been: a run restored to step 0 begins with its hooks again."""
        if self.steps and self.steps[-1] == trainer.step:
            return
        averaged = trainer.config.average is not None
        network = trainer.snapshot(averaged=averaged)
        excess = excess_loss(network, self.reference, device=trainer.theta.device).estimate.reshape(-1)
        self.steps.append(trainer.step)
        self.curve.append(excess)
        if self.crossing is not None:
            self.crossing.observe(trainer.step, excess, trainer.average if averaged else trainer.theta)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the curve and the crossings: tensors by name, and plain JSON values."""
        tensors = {"curve": torch.stack(self.curve)} if self.curve else {}
        if self.crossing is not None:
            tensors |= {f"crossing.{name}": value for name, value in self.crossing.state().items()}
        return tensors, {"steps": list(self.steps)}

    def restore(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; errors as in `FirstCrossing.restore`."""
        self.steps = list(metadata["steps"])
        self.curve = list(tensors["curve"]) if self.steps else []
        if self.crossing is not None:
            prefix = "crossing."
            found = {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
            self.crossing.restore(found)
