"""A cohort: the random languages of one family, their networks, and the arms that are trained on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts.arms import ARMS, Arm, Size, descent
from verify.cohorts.families import FAMILIES
from verify.cohorts.path import Path
from verify.cohorts.scale import Scale
from verify.cohorts.sharpness import Sharpness, sharpness
from verify.cohorts.transfer import Exam
from verify.downstream.features import unmasked_states
from verify.networks import Transformer, TransformerConfig
from verify.networks.network import Network
from verify.streams import stream_seed
from verify.training.config import Training
from verify.training.excess import Reference, excess_loss
from verify.training.trainer import Every, Trainer

T = TypeVar("T")


class CohortDivergedError(RuntimeError):
    """A member of an arm diverged, so that the arm cannot be compared with others."""


class Cohort:
    """The units of one family: member k is a random language with its own networks, in all arms.

    Arms are trained when they are first asked for, and kept. All random numbers come from the root seed, the family and
    their purpose, whatever the order of asking and whichever claim asks.

    Args:
        family: name in `FAMILIES`.
        scale: sizes.
        root_seed: root of all random streams.
        device: where to train.

    Attributes:
        family: the family.
        languages: one per member.
        reference: contexts of every member, sampled once, on which excess losses are measured.
        exam: labelled sentences of every member.
        stopped: set it, and training that goes on in another thread ends within 16 steps.
    """

    def __init__(self, family: str, scale: Scale, root_seed: int, device: str = "cpu") -> None:
        self.family = FAMILIES[family]
        self.scale = scale
        self._root_seed = root_seed
        self._device = device
        self.stopped = threading.Event()
        self._ends: dict[str, Network] = {}
        self._paths: dict[str, Path] = {}
        drawn = [self.family.draw(seed) for seed in self.seeds("language")]
        self.languages = tuple(language for language, _ in drawn)
        tables = [table for _, table in drawn]
        self._tables = None if None in tables else [table for table in tables if table is not None]
        self.reference = Reference.each(
            [
                Reference.sampled(language, scale.reference, torch.Generator().manual_seed(seed))
                for language, seed in zip(self.languages, self.seeds("reference"), strict=True)
            ]
        )
        tasks = [self.family.task_of(language) for language in self.languages]
        self.exam = Exam.sample(tasks, self.seeds("exam"), labels=scale.labels, draws=scale.draws, tested=scale.tested)

    def seeds(self, *purpose: str) -> list[int]:
        """Return one seed per member for a purpose."""
        return [
            stream_seed(self._root_seed, "cohort", self.family.name, *purpose, member)
            for member in range(self.scale.members)
        ]

    def initial(self, size: Size, stream: str) -> Network:
        """Return networks of a size as they are before training."""
        half = 1 if size == "large" else 2
        config = TransformerConfig(
            self.family.n_tokens,
            self.languages[0].length,
            width=self.scale.width // half,
            layers=self.scale.layers,
            heads=max(1, self.scale.heads // half),
            mlp_ratio=2,
            padded=self.family.padded,
        )
        generators = [torch.Generator().manual_seed(seed) for seed in self.seeds("initial", stream)]
        return Transformer(config, (self.scale.members,), generators)

    def arm(self, name: str) -> Arm:
        """Return how an arm is trained."""
        return ARMS[name](self.scale, self.family)

    def path(self, name: str) -> Path:
        """Return the path of an arm, trained on first use; errors as in `end`."""
        self.end(name)
        return self._paths[name]

    def end(self, name: str) -> Network:
        """Return the networks at the end of an arm, trained on first use.

        Raises:
            CohortDivergedError: a member diverged.
        """
        if name not in self._ends:
            arm = self.arm(name)
            start = self.initial(arm.size, arm.stream) if arm.start is None else self.end(arm.start)
            if arm.descends:
                path, end = self._descend(name, start, arm.training, arm.steps, arm.stream)
            else:
                trained = self._train(name, start, arm.training, arm.steps, arm.stream).snapshot(dtype=torch.float32)
                path, end = self._descend(name, trained, descent(self.scale), self.scale.descent, "descent")
            self._paths[name], self._ends[name] = path, end
        return self._ends[name]

    def _train(
        self, name: str, start: Network, training: Training, steps: int, stream: str, hooks: Sequence[Every] = ()
    ) -> Trainer:
        def stop(_: Trainer) -> None:
            if self.stopped.is_set():
                raise KeyboardInterrupt

        trainer = Trainer(
            start, self.languages, training, self.seeds("training", stream), table=self._tables, device=self._device
        )
        trainer.run(steps, [*hooks, Every(16, stop)])
        dead = (~trainer.alive).nonzero()[:, 0].tolist()
        if dead:
            raise CohortDivergedError(
                f"arm {name} of family {self.family.name}: members {dead} diverged at rate {training.rate}; lower the "
                "rates of the scale, as a new design"
            )
        return trainer

    def _descend(self, name: str, start: Network, training: Training, steps: int, stream: str) -> tuple[Path, Network]:
        """Train on the way down and keep its checkpoints."""
        every = max(1, steps // self.scale.checkpoints)
        found: list[tuple[int, Tensor, Tensor]] = []

        def keep(trainer: Trainer) -> None:
            excess = excess_loss(trainer.snapshot(), self.reference, device=self._device).estimate
            found.append((trainer.step, trainer.theta.detach().clone().cpu(), excess.cpu()))

        trainer = self._train(name, start, training, steps, stream, [Every(every, keep)])
        end = trainer.snapshot(dtype=torch.float32)
        numbers, theta, excess = zip(*found, strict=True)
        return Path(end, numbers, torch.stack(theta), torch.stack(excess)), end

    def features(self, network: Network) -> Float[Tensor, "member example feature"]:
        """Return the final states of the exam's unmasked sentences, all positions side by side."""
        copied = network.copy().to(device=self._device, dtype=torch.float32)
        copied.fast = True
        return unmasked_states(copied, self.exam.inputs.to(self._device)).cpu()

    def accuracy(self, network: Network) -> Float[Tensor, " member"]:
        """Return the few-label accuracy of every member."""
        return self.exam.accuracy(self.features(network))

    def sharpness(self, network: Network) -> Sharpness:
        """Return tr F and Σθ²F of every member, with the same probes for every arm."""
        return sharpness(network, self.reference, self.seeds("sharpness"), probes=self.scale.probes)

    @cached_property
    def accuracy_slope(self) -> float:
        """Change of the mean accuracy per unit of ln(excess), along the second half of the way of `base`."""
        return self._slope(self.accuracy)

    @cached_property
    def log_trace_slope(self) -> float:
        """Change of the mean of ln tr F per unit of ln(excess), likewise."""
        return self._slope(lambda network: self.sharpness(network).trace.log())

    def _slope(self, statistic: Callable[[Network], Tensor]) -> float:
        path = self.path("base")
        middle = len(path.steps) // 2
        change = statistic(path.network(-1)) - statistic(path.network(middle))
        return float(change.mean() / (path.excess[-1] / path.excess[middle]).log().mean())

    @cached_property
    def untrained(self) -> dict[Size, Network]:
        """The initial networks of both sizes."""
        return {"large": self.initial("large", "pretraining"), "small": self.initial("small", "pretraining")}


def on_each(cohorts: Sequence[Cohort], work: Callable[[Cohort], T]) -> list[T]:
    """Do some work on every cohort, one thread for each; an error in one, or Ctrl-C, stops the training of the others.

    Args:
        cohorts: of different families.
        work: what is done; its results are returned in the order of the cohorts.
    """
    for cohort in cohorts:
        cohort.stopped.clear()
    with ThreadPoolExecutor(len(cohorts)) as pool:
        running = [pool.submit(work, cohort) for cohort in cohorts]
        try:
            return [each.result() for each in running]
        except BaseException:
            for cohort in cohorts:
                cohort.stopped.set()
            raise


def train_together(cohorts: Sequence[Cohort], arms: Sequence[str], advance: Callable[[], None]) -> None:
    """Train arms of several cohorts at once; what is trained already is kept.

    Args:
        cohorts: of different families.
        arms: names, in the order of training.
        advance: called whenever an arm of a cohort is finished.
    """

    def train(cohort: Cohort) -> None:
        for name in arms:
            cohort.end(name)
            advance()

    on_each(cohorts, train)
