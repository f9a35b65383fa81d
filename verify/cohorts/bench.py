"""What measures the networks of a cohort: how they transfer, how flat they are, and at what excess loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts.cohort import Cohort
from verify.cohorts.conditions import Size
from verify.cohorts.evaluations import EVALUATIONS, Evaluation
from verify.cohorts.path import Point
from verify.cohorts.phase import Found
from verify.cohorts.scale import EvaluationName
from verify.cohorts.sharpness import Sharpness, sharpness
from verify.downstream import alignment, unmasked_states
from verify.networks import Network
from verify.training.excess import divergences


class Bench:
    """Measures networks of a cohort, each member on its own language; what takes long is kept by the cohort's store.

    Attributes:
        cohort: whose networks.
        evaluation: labelled sentences of every member, few for each head.
    """

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort
        # The name of a random stream: it stays. Every bench of a cohort has the same sentences.
        self.evaluation = self.draw_evaluation("exam", again=True)
        self._further: dict[EvaluationName, Evaluation] = {}
        self._evaluated: dict[tuple[EvaluationName, str, tuple[int, ...]], Tensor] = {}

    def draw_evaluation(self, purpose: str, *, many: int | None = None, again: bool = False) -> Evaluation:
        """Return an evaluation of every member; another purpose gives independent sentences.

        Args:
            purpose: name of its random numbers.
            many: labelled sentences of one large draw, in place of the scale's draws of few.
            again: as in `Streams.seed`, which raises.
        """
        cohort, scale = self.cohort, self.cohort.scale
        tasks = [cohort.family.task_of(language) for language in cohort.languages]
        labels, draws = (scale.labels, scale.draws) if many is None else (many, 1)
        seeds = cohort.seeds(purpose, again=again)
        return Evaluation.sample(tasks, seeds, labels=labels, draws=draws, tested=scale.tested)

    def divergences(self, network: Network) -> Float[Tensor, "member context"]:
        """Return KL(p* ‖ p_θ) of every member at the contexts of the reference, whose weighted mean is the excess."""
        return divergences(network, self.cohort.reference, device=self.cohort.device)

    def features(self, network: Network) -> Float[Tensor, "member example feature"]:
        """Return the final states of the evaluation's unmasked sentences, all positions side by side."""
        return unmasked_states(self._placed(network), self.evaluation.inputs.to(self.cohort.device)).cpu()

    def accuracy(self, network: Network) -> Float[Tensor, " member"]:
        """Return the few-label accuracy of every member."""
        return self.evaluation.accuracy(self.features(network))

    def further_accuracy(self, name: EvaluationName, network: Network) -> Float[Tensor, " member"]:
        """Return the accuracy of every member in one of `EVALUATIONS`, on sentences of its own."""
        further = EVALUATIONS[name]
        if name not in self._further:
            self._further[name] = self.draw_evaluation(f"exam, {name}", many=further.many, again=True)
        sentences = self._further[name].to(self.cohort.device)
        generators = self.cohort.generators("batches", name, again=True)  # every network is graded by the same batches
        return further.grade(sentences, self._placed(network), generators).cpu()

    def evaluated(self, name: EvaluationName, condition: str, point: Point) -> Float[Tensor, " member"]:
        """Return `further_accuracy` at a point of a condition; kept, as several claims compare the same conditions."""
        place = name, condition, tuple(point.checkpoint.tolist())
        if place not in self._evaluated:
            sizes = {size: getattr(self.cohort.scale, size) for size in ("labels", "draws", "tested")}
            self._evaluated[place] = self.cohort.measured(
                name, point.network, lambda: {"accuracy": self.further_accuracy(name, point.network)}, **sizes
            )["accuracy"]
        return self._evaluated[place]

    def sharpness(self, network: Network) -> Sharpness:
        """Return tr F and Σθ²F of every member, with the same probes for every condition."""
        cohort, probes = self.cohort, self.cohort.scale.probes

        def measure() -> Found:
            placed = network.copy().to(cohort.device)
            seeds = cohort.seeds("sharpness", again=True)
            return sharpness(placed, cohort.reference, seeds, batches=probes).tensors()

        return Sharpness.of(cohort.measured("sharpness", network, measure, probes=probes))

    def alignment(self, network: Network, size: Size = "large") -> Float[Tensor, " member"]:
        """Return how far features are still those before training, `verify.downstream.alignment`: near 1 is lazy."""
        return alignment(self.features(self.untrained[size]), self.features(network))

    @cached_property
    def accuracy_slope(self) -> float:
        """Change of the mean accuracy for a change of ln(excess) by 1, along the second half of the path of `base`."""
        return self._slope(self.accuracy)

    @cached_property
    def log_trace_slope(self) -> float:
        """Change of the mean of ln tr F, likewise."""
        return self._slope(lambda network: self.sharpness(network).trace.log())

    def _slope(self, statistic: Callable[[Network], Tensor]) -> float:
        path = self.cohort.path("base")
        middle = len(path.steps) // 2
        change = statistic(path.network(-1)) - statistic(path.network(middle))
        return float(change.mean() / (path.excess[-1] / path.excess[middle]).log().mean())

    @cached_property
    def untrained(self) -> dict[Size, Network]:
        """The initial networks of both sizes."""
        return {
            "large": self.cohort.initial("large", "pretraining"),
            "small": self.cohort.initial("small", "pretraining"),
        }

    def _placed(self, network: Network) -> Network:
        """Return a copy to be evaluated: on the device, in float32, with fused kernels."""
        copied = network.copy().to(device=self.cohort.device, dtype=torch.float32)
        copied.fast = True
        return copied
