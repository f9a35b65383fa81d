"""The trial of one claim: designs declared, instances decided, controls caught, evidence recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from theory import Claim
from theory.claims import CLAIMS
from verify.environment import Profile, Settings, hardware, versions
from verify.statistics import Interval, Samples
from verify.streams import Streams
from verify.trial.budget import Budget
from verify.trial.decision import InstanceResult, combine, decide
from verify.trial.design import Design, same_decisions
from verify.trial.evidence import ANY, ControlOutcome, Evidence
from verify.trial.measurement import Measurement, Networks, Parameters
from verify.trial.outlook import Outlook

if TYPE_CHECKING:
    import torch

BUDGET = Budget(tuple(CLAIMS))
"""The suite's false-alarm probability, split over the registry."""

Progress = Callable[[float], None]


class Trial:
    """Puts one claim on trial.

    Designs are declared first; then each instance is decided by its design, each control by the same design; then
    `conclude` combines them. A statistic that was not declared cannot be decided.

    Args:
        claim: the claim.
        settings: profile, device, root seed.
        progress: called with the finished fraction of the work.
        outlook: which verdict is expected.
    """

    def __init__(
        self,
        claim: Claim,
        settings: Settings,
        progress: Progress = lambda _: None,
        outlook: Outlook | None = None,
    ) -> None:
        self.claim = claim
        self.outlook = outlook or Outlook()
        self.settings = settings
        self.progress = progress
        self._streams = Streams(settings.root_seed, claim.id)
        self._start = time.perf_counter()
        self._planned, self._done = 0, 0.0
        self._designs: tuple[Design, ...] = ()
        self._results: list[InstanceResult] = []
        self._measurements: list[Measurement] = []
        self._controls: list[ControlOutcome] = []
        self._stored: Evidence | None = None

    @property
    def uses_stored(self) -> bool:
        """Whether the evidence was found before, and not in this run."""
        return self._stored is not None

    @property
    def profile(self) -> Profile:
        return self.settings.profile

    @property
    def device(self) -> str:
        return self.settings.device

    @property
    def scale(self) -> str | None:
        """The scale of networks that was asked for, or None."""
        return self.settings.scale

    def seed(self, *path: str | int, again: bool = False) -> int:
        """Return the seed of one purpose of this claim's stream; `again`: as in `Streams.seed`, which raises."""
        return self._streams.seed(*path, again=again)

    def rng(self, *path: str | int, again: bool = False) -> np.random.Generator:
        """Return a fresh generator for one purpose, as `seed` does."""
        return np.random.default_rng(self.seed(*path, again=again))

    def torch(self, *path: str | int, again: bool = False) -> torch.Generator:
        """Return a fresh torch generator on the CPU for one purpose, as `seed` does."""
        # Here, so that reading evidence needs no torch.
        import torch

        return torch.Generator().manual_seed(self.seed(*path, again=again))

    def plan(self, tasks: int) -> None:
        """Announce how many tasks (ensembles, searches, …) the trial consists of, for the progress bar."""
        self._planned = tasks

    def advance(self, tasks: float | int = 1) -> None:
        """Report finished tasks, or a fraction of one, to the progress bar."""
        self._done += tasks
        if self._planned:
            self.progress(self._done / self._planned)

    def declare(self, designs: Sequence[Design]) -> tuple[Design, ...]:
        """Declare the designs, before anything is sampled.

        Raises:
            ValueError: designs were declared before, belong to another claim, or overspend the claim's budget.
        """
        if self._designs:
            raise ValueError(f"the designs of {self.claim.id} are declared already; declare all of them at once")
        foreign = {design.claim for design in designs} - {self.claim.id}
        if foreign or not designs:
            raise ValueError(f"expected designs of {self.claim.id}, got {sorted(foreign) or 'none'}")
        spent, allowed = sum(design.alpha for design in designs), BUDGET.alpha(self.claim.id)
        if spent > allowed * (1 + 1e-12):
            raise ValueError(f"{self.claim.id} may spend a level of {allowed:.3g}, its designs spend {spent:.3g}")
        self._designs = tuple(designs)
        return self._designs

    def decide(
        self,
        design: Design,
        measured: Samples | Interval,
        *,
        parameters: Parameters = MappingProxyType({}),
        prediction: float | None = None,
        systematic: float = 0.0,
        networks: Networks | None = None,
    ) -> InstanceResult:
        """Decide one instance by a declared design and record it.

        Args:
            design: one of the declared designs.
            measured: one value for each replicate, or the interval of the declared bound.
            parameters: what was drawn for this instance.
            prediction: the claim's closed form there, from `claim.predict`.
            systematic: allowance estimated on this instance, such as an extrapolation remainder.
            networks: what was measured, for a claim about trained networks.

        Raises:
            ValueError: the design was not declared, or the instance is one that was decided before.
        """
        result = self._decide(design, measured, systematic)
        self._require_new(result, parameters)
        self._results.append(result)
        self._measurements.append(Measurement.of(result, parameters, prediction, networks))
        return result

    def control(
        self,
        name: str,
        broken: str,
        design: Design,
        measured: Samples | Interval | float,
        *,
        parameters: Parameters = MappingProxyType({}),
        prediction: float | None = None,
        systematic: float = 0.0,
        networks: Networks | None = None,
    ) -> InstanceResult:
        """Decide a trial in which one hypothesis is broken; the design must refute it.

        Args:
            name: the control in a few words.
            broken: which hypothesis is broken.
            design: the declared design that must notice.
            measured: as for `decide`; or the value of a control without sampling error, such as a run without noise.
            parameters: as for `decide`.
            prediction: what the claim, wrongly applied, predicts.
            systematic: as for `decide`.
            networks: as for `decide`.
        """
        if isinstance(measured, float):
            measured = Interval(measured, measured, measured, 0.0, design.n, design.bound)
        result = self._decide(design, measured, systematic)
        self._controls.append(ControlOutcome(name, broken, Measurement.of(result, parameters, prediction, networks)))
        return result

    def _decide(self, design: Design, measured: Samples | Interval, systematic: float) -> InstanceResult:
        if design not in self._designs:
            raise ValueError(f"{design.statistic!r} is not a declared design of {self.claim.id}; declare it first")
        return decide(design, measured, systematic=systematic)

    def _require_new(self, result: InstanceResult, parameters: Parameters) -> None:
        """Check that an instance is none of those before.

        Means of groups are continuous: if they agree to the bit in two instances, the groups are the same. Counts and
        enclosures may agree honestly, and integers that were drawn may as well: these are the same instance if a
        parameter that is a real number is the same too.

        Raises:
            ValueError: it is one of them.
        """
        for earlier, measurement in zip(self._results, self._measurements, strict=True):
            same = (earlier.design, earlier.interval) == (result.design, result.interval)
            drawn = any(isinstance(value, float) for value in parameters.values())
            again = drawn and dict(measurement.parameters) == dict(parameters)
            if same and (result.design.bound == "student-t" or again):
                raise ValueError(
                    f"expected another instance of {result.design.statistic!r}, got {result.interval} at "
                    f"{dict(parameters)} again; draw each instance from a stream of its own, and say what was drawn"
                )

    def use_stored(self, stored: Evidence) -> None:
        """Conclude with evidence that was found before, at a larger profile, instead of measuring.

        Raises:
            ValueError: it is of another claim or of other designs than were declared, or something was measured.
        """
        if stored.claim != self.claim.id or not same_decisions(stored.designs, self._designs) or self._results:
            raise ValueError(
                f"expected stored evidence of {self.claim.id} by the designs that were declared, and nothing measured, "
                f"got evidence of {stored.claim} dated {stored.date}; measure again at profile {stored.profile}"
            )
        self._stored = stored

    def conclude(self) -> Evidence:
        """Combine all results into evidence, or return what was stored.

        Raises:
            ValueError: no control was tried, a design was left undecided, or an instance is missing.
        """
        if self._stored is not None:
            return self._stored
        if not self._controls:
            raise ValueError(f"{self.claim.id} was tried without a control; break a hypothesis and see the check fail")
        decided = {result.design for result in self._results}
        undecided = [design.statistic for design in self._designs if design not in decided]
        if undecided:
            raise ValueError(f"{self.claim.id} declared but did not decide: {', '.join(undecided)}")
        return Evidence(
            claim=self.claim.id,
            title=self.claim.title,
            status=self.claim.status,
            verdict=str(combine(self._results)),
            expected=self._expected(),
            measurements=tuple(self._measurements),
            controls=tuple(self._controls),
            designs=self._designs,
            profile=self.profile,
            device=self.device,
            root_seed=self.settings.root_seed,
            seconds=round(time.perf_counter() - self._start, 3),
            versions=versions(),
            hardware=hardware(self.device),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _expected(self) -> str:
        """Return the expected verdict, unless it was measured at the scale of networks that was asked for."""
        asked = None if self.scale is None else self.scale.partition(":")[0]
        measured = {m.networks.scale for m in self._measurements if m.networks is not None}
        return ANY if asked in measured else self.outlook.expected
