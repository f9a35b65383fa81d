r"""The plateau law on the networks of a cohort: what the spectrum of F predicts, and the excess that label noise adds.

From one start, t steps of SGD with labels y ~ p* in one run and with p* itself in another, on the same contexts: the
difference of their excess losses is what the label noise adds. The law (`plateau-transformer`) says

    Σ_i (η/2B) h_i/(2 − ηh_i) (1 − (1 − ηh_i)^{2t}),   h_i the eigenvalues of F at the start.

The soft run takes away that the start is not on Γ and that a run goes on descending from it. The ratio of the two
numbers departs from 1 in proportion to η at fixed ηt; two rates extrapolate it to η = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from theory.claims import find
from verify.cohorts.cohort import Cohort, CohortDivergedError
from verify.cohorts.phase import Found, Phase
from verify.cohorts.plateau.spectrum import fisher_spectrum, systematic_sample
from verify.networks import Network
from verify.runs import RecordedFailureError, tensors_digest
from verify.training import SGD, AllDivergedError, FlatParameters, Reference, Trainer, Training, excess_loss, network_at
from verify.training.labels import Labels

_FORMULA = find("plateau-transformer").formula()
_LAW: Callable[..., Tensor] = sp.lambdify([own.symbol for own in _FORMULA.parameters], _FORMULA.expression, "numpy")
"""(η, B, h, t) ↦ excess of one eigendirection: the right side of the checked step, arithmetic that tensors have too."""


@dataclass(frozen=True)
class Protocol:
    """How the law is tried: fixed before anything runs.

    Attributes:
        rates: the two values of η, the larger one first.
        batch: B.
        times: values of ηt at which the excess is taken, whole numbers of steps at both rates.
        runs: runs of every member, whose excess losses are averaged.
        points: of the systematic sample of contexts, for F and for excess losses.

    Raises:
        ValueError: the rates do not fall, a time is no whole number of steps, or a size is not positive.
    """

    rates: tuple[float, float] = (0.1, 0.025)
    batch: int = 8
    times: tuple[float, ...] = (0.4, 0.8, 1.6, 3.2)
    runs: int = 12
    points: int = 384

    def __post_init__(self) -> None:
        if not self.rates[0] > self.rates[1] > 0:
            raise ValueError(f"expected two rates, the larger one first, got {self.rates}")
        whole = all(abs(time / rate - round(time / rate)) < 1e-9 for time in self.times for rate in self.rates)
        if not whole or list(self.times) != sorted(set(self.times)) or not self.times or not self.times[0] > 0:
            raise ValueError(f"expected rising times > 0, multiples of the rates {self.rates}, got {self.times}")
        if min(self.batch, self.runs) < 1 or self.points < 2:
            raise ValueError(f"expected batch and runs >= 1 and points >= 2, got {self}")

    def steps(self, rate: float) -> list[int]:
        """Return the times in steps of a rate."""
        return [round(time / rate) for time in self.times]


def law(
    spectrum: Float[Tensor, " eigenvalue"], rate: float, batch: int, steps: Sequence[int]
) -> Float[Tensor, " time"]:
    """Return the excess loss that the law predicts, in nats, after each of these numbers of steps.

    Raises:
        ValueError: an eigenvalue is at or above 2/η, where nothing settles.
    """
    if not float(spectrum.amax()) < 2 / rate:
        raise ValueError(
            f"expected eigenvalues below 2/η = {2 / rate:.4g}, got {float(spectrum.amax()):.4g}; lower the rate"
        )
    return torch.stack([_LAW(rate, batch, spectrum, t).sum() for t in steps])


@dataclass(frozen=True, eq=False)
class PlateauLaw:
    """What the law predicts and what was found, for every member; sums over the times.

    Attributes:
        protocol: how it was tried.
        predicted: the law at both rates, in nats.
        settled: (η/4B) tr F at every time instead, as if each direction had settled at once.
        added: what each kind of noise adds to the excess of the soft run, in nats, mean over runs.
        context_error: by how much the prediction was corrected for the number of contexts, relative, in the mean.
    """

    protocol: Protocol
    predicted: Float[Tensor, "rate member"]
    settled: Float[Tensor, "rate member"]
    added: dict[Labels, Float[Tensor, "rate member"]]
    context_error: float

    @classmethod
    def of(cls, cohort: Cohort, protocol: Protocol, noises: Sequence[Labels] = ("sampled", "isotropic")) -> PlateauLaw:
        """Try the law on the `base` networks of a cohort; errors as in `contexts_of`, `law` and `risen`."""
        start = cohort.end("base")
        sample, smaller = (contexts_of(cohort, points) for points in (protocol.points, protocol.points // 2))
        spectra, coarse = (spectra_of(cohort, start, contexts) for contexts in (sample, smaller))
        reference = Reference.each(sample)
        soft = risen(cohort, start, reference, protocol, "soft")
        found = {noise: risen(cohort, start, reference, protocol, noise) - soft for noise in noises}
        whole = _sums(spectra, protocol)
        # A sum over the spectrum of n contexts is off by a/n + O(1/n²), in the mean.
        predicted = 2 * whole - _sums(coarse, protocol)
        traces = torch.stack([own.sum() for own in spectra])
        rates = torch.tensor(protocol.rates, dtype=torch.float64).unsqueeze(-1)
        settled = len(protocol.times) * rates * traces / (4 * protocol.batch)
        return cls(protocol, predicted, settled, found, abs(float((whole / predicted).mean()) - 1))

    def ratio(
        self, noise: Labels = "sampled", predicted: Float[Tensor, "rate member"] | None = None
    ) -> Float[Tensor, " member"]:
        """Return found ÷ predicted at η → 0: with r(η) = r_0 + aη, r_0 = (η_1 r(η_2) − η_2 r(η_1))/(η_1 − η_2).

        Args:
            noise: whose.
            predicted: by another law, for controls.
        """
        large, small = self.added[noise] / (self.predicted if predicted is None else predicted)
        first, second = self.protocol.rates
        limit: Tensor = (first * small - second * large) / (first - second)
        return limit


def contexts_of(cohort: Cohort, points: int) -> list[Reference]:
    """Return a systematic sample of every member's contexts; samples of two sizes have the same offsets.

    Raises:
        ValueError: the contexts of a language are too many to write out.
    """
    if cohort.tables is None:
        raise ValueError(f"expected languages that can be written out, got family {cohort.family.name}")
    generators = cohort.generators("offset", again=True)
    offsets = [float(torch.rand((), generator=own)) for own in generators]
    return [systematic_sample(table, points, own) for table, own in zip(cohort.tables, offsets, strict=True)]


def spectra_of(cohort: Cohort, network: Network, contexts: Sequence[Reference]) -> list[Float[Tensor, " eigenvalue"]]:
    """Return the spectrum of F of every member, each on contexts of its own; kept by the cohort's store."""

    def measure() -> Found:
        return {str(k): fisher_spectrum(network.member(k), own) for k, own in enumerate(contexts)}

    own = [tensors_digest(each.contexts, each.weight) for each in contexts]
    found = cohort.measured("spectrum", network, measure, contexts=own)
    return [found[str(k)] for k in range(len(contexts))]


def risen(
    cohort: Cohort, start: Network, reference: Reference, protocol: Protocol, labels: Labels
) -> Float[Tensor, "rate member"]:
    """Return excess losses of SGD, summed over the times, mean over runs. Monte Carlo.

    Replica k of a member sees the same contexts, and draws the same labels, whatever is done with them. The cohort's
    store keeps the runs of each rate and resumes them.

    Raises:
        CohortDivergedError: a run diverged.
        KeyboardInterrupt: the cohort was stopped.
    """
    return torch.stack([_risen_at(rate, cohort, start, reference, protocol, labels) for rate in protocol.rates])


def _risen_at(
    rate: float, cohort: Cohort, start: Network, reference: Reference, protocol: Protocol, labels: Labels
) -> Float[Tensor, " member"]:
    members, runs, steps = cohort.scale.members, protocol.runs, protocol.steps(rate)
    theta = FlatParameters(start, torch.float32, "cpu").theta.detach()
    training = Training(rate=rate, batch=protocol.batch, labels=labels, optimiser=SGD())
    seeds = [seed for run in range(runs) for seed in cohort.seeds("plateau", str(run), again=True)]

    def measure(trainer: Trainer) -> Found:
        total = torch.zeros(members, dtype=torch.float64)
        for part in torch.split(trainer.theta, members):
            total += excess_loss(network_at(start, part, dtype=torch.float64), reference).estimate / runs
        return {"excess": total}

    def build() -> Phase:
        empty = type(start).empty(start.config, (members * runs,))
        stack = network_at(empty, theta.repeat(runs, 1), dtype=torch.float32)
        tables = (cohort.tables or []) * runs
        trainer = Trainer(stack, list(cohort.languages) * runs, training, seeds, table=tables)
        return Phase(trainer, steps[-1], cohort.stopped, steps, measure)

    configuration = {
        "work": "rise to the plateau",
        "start": tensors_digest(theta),
        "reference": tensors_digest(reference.contexts, reference.weight, reference.conditional),
        "training": training.to_json(),
        "steps": steps,
        "seeds": seeds,
    }
    try:
        found = cohort.completed(build, configuration)
        divergences = found.content["divergences"][:3]
    except (AllDivergedError, RecordedFailureError) as error:
        divergences = [str(error)]
    if divergences:
        raise CohortDivergedError(
            f"family {cohort.family.name}, labels {labels}: {'; '.join(divergences)}; lower the rates of the protocol, "
            "as a new design"
        )
    total: Tensor = sum(found.tensors["kept.excess"], torch.zeros(members, dtype=torch.float64))
    return total


def _sums(spectra: Sequence[Tensor], protocol: Protocol) -> Float[Tensor, "rate member"]:
    return torch.stack(
        [
            torch.stack([law(own, rate, protocol.batch, protocol.steps(rate)).sum() for own in spectra])
            for rate in protocol.rates
        ]
    )
