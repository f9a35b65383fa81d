"""Measure the plateau: SGD that starts on Γ settles at an excess loss of (η/4B) tr H, as η → 0."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from scipy.linalg import solve_discrete_lyapunov

from theory.claims import find
from verify.ensembles import Gradient, Sgd, run_ensemble
from verify.ensembles.on_trial import DivergedError, ensemble
from verify.environment import Profile
from verify.minimisers import MinimiserConstraint, random_minimiser, retract
from verify.models import PairModel, ProductModel, TwoLayerModel, exact_excess, fisher_trace, hessian
from verify.statistics import richardson
from verify.trial import BUDGET, Design, Outlook, Trial

CLAIM = "plateau"
OUTLOOK = Outlook(
    finding="The training loss stops above its floor by a known multiple of the curvature.",
)
RATES = (0.24, 0.12, 0.06, 0.03)
"""Values of η tr H/(4σ'(α)(1 − β)) at the start: half the variance of f is B times less, and it bends the loss."""
TERMS = 2
"""Powers of η removed by the extrapolation: η and η², a least-squares fit to four rates."""
SETTLING = 3.0
"""Steps before the first record, in units of 1/(η h_min): what is left of the start is e⁻⁶ in the slowest direction."""
RECORDS = 24
"""Times at which the excess is taken, of all replicas, and tr H, of one replica of each group, another every time."""
STARTS, CONDITION = 256, 8.0
"""A start is the first of so many random minimisers whose H has a condition number up to this, else the best of them.

At d = 4 one in a hundred has, at d = 5 hardly any; the run takes longer then, in proportion to the condition number.
"""


@dataclass(frozen=True)
class Size:
    """Number of instances, of groups in each and of replicas in a group, the margin, and the largest d.

    A group has `replicas` divided by the effective rank (Σh)²/Σh² of H.
    """

    instances: int
    groups: int
    replicas: int
    delta: float
    largest_d: int


SIZES: dict[Profile, Size] = {
    "quick": Size(1, 32, 256, 0.08, 2),
    "default": Size(5, 36, 512, 0.06, 4),
    "full": Size(16, 64, 2560, 0.045, 5),
}


def designs(profile: Profile) -> tuple[Design, ...]:
    """Return the one design of this claim."""
    size = SIZES[profile]
    return (
        Design(
            claim=CLAIM,
            prediction="the training loss stays (η/4B) tr H above the entropy floor",
            target=1.0,
            delta=size.delta,
            delta_refute=size.delta,
            alpha=BUDGET.alpha(CLAIM),
            power=0.99,
            n=size.groups,
            instances=size.instances,
            statistic="mean excess loss ÷ (η/4B) tr H, at η → 0",
            bound="student-t",
            spread=0.024 * math.sqrt(640 / size.replicas),
            systematic=0.01,
            justification=(
                "A replicate is the mean over a group of replicas at 24 times. Off Γ the replicas are near Gaussian: "
                "one excess has the relative variance 2/r, r = (Σh)²/Σh² the effective rank of H; with 640/r replicas "
                "at 24 times 1/ηh apart, h = Σh²/Σh, a group has a standard deviation of 0.013; the weights of the "
                "extrapolation make 0.021 of it, 0.024 leaves room for the drift; fewer replicas scale it. The mean of "
                "thousands of squares has a skewness below 0.1. The planned systematic error is a cubic remainder, "
                "(Var f)³/48 at Var f ≤ 0.48, and what was left of the start."
            ),
        ),
    )


@dataclass(frozen=True)
class Instance:
    """A model, a start on Γ, and how SGD runs."""

    model: TwoLayerModel
    start: Float[torch.Tensor, " parameter"]
    batch_size: int
    momentum: float
    names: tuple[tuple[str, float], ...]

    @property
    def spectrum(self) -> Float[torch.Tensor, " mode"]:
        """The nonzero eigenvalues of H at the start."""
        here = MinimiserConstraint(self.model).linearise(self.start[None])
        return here.singular_values[here.kept].square()

    @property
    def parameters(self) -> dict[str, float | int | str]:
        run = {"B": self.batch_size, "beta": self.momentum, "trace": float(self.spectrum.sum())}
        return {"model": self.model.name, **dict(self.names), **run}

    def predict(self, eta: float, trace: float) -> float:
        options = {"eta": eta, "B": self.batch_size, "trace": trace}
        if self.momentum == 0:
            return find(CLAIM).predict(**options)
        return find(CLAIM).predict("momentum", beta=self.momentum, **options)


def draw(trial: Trial, *path: str | int, kind: str, momentum: float = 0.0) -> Instance:
    """Draw 0.5 ≤ |α| ≤ 1.3, B ≤ 2 and a random minimiser that is well conditioned; for products 1 ≤ |α| ≤ 1.8."""
    generator = trial.rng(*path)
    alpha = float(generator.choice([-1.0, 1.0]) * generator.uniform(0.5, 1.3))
    batch_size = int(generator.integers(1, 3))
    if kind == "product":
        # Γ is a hyperbola whose vertex is √(2|α|) from 0: nearer to 0 the noise would have to be smaller still
        product = ProductModel(math.copysign(abs(alpha) + 0.5, alpha))
        start = product.on_manifold(float(generator.choice([-1.0, 1.0]) * generator.uniform(2, 3)))
        return Instance(product, start, batch_size, momentum, (("alpha", product.alpha),))
    d = int(generator.integers(2, SIZES[trial.profile].largest_d + 1))
    model = PairModel(d, int(generator.integers(2 * d, 2 * d + 4)), alpha)
    # torch's generator of the seed: none of its numbers is one of numpy's above
    start = well_conditioned(model, trial.torch(*path, again=True))
    return Instance(model, start, batch_size, momentum, (("d", d), ("m", model.m), ("alpha", alpha)))


def well_conditioned(model: PairModel, generator: torch.Generator) -> Float[torch.Tensor, " parameter"]:
    """Return the first of `STARTS` random minimisers with a condition number up to `CONDITION`, else the best one."""
    # f is homogeneous of degree 3 in the parameters, so the scale follows α
    found = random_minimiser(model, generator, STARTS, scale=(abs(model.alpha) / 2.5) ** (1 / 3))
    good = (found.condition_number <= CONDITION).nonzero()
    return found.theta[int(good[0]) if len(good) else int(found.condition_number.argmin())]


def settled(
    trial: Trial,
    instance: Instance,
    sgd: Sgd,
    *path: str | int,
    labels: TwoLayerModel | None = None,
    drift: bool = True,
) -> Float[np.ndarray, " group"]:
    """Return the mean excess of each group at the plateau over its prediction, at one rate.

    tr H is that of the group's replicas projected on Γ at the time, so that its drift cancels; without `drift`, for
    runs that leave Γ, that of the start.
    """
    h = instance.spectrum
    weighted = float(h.square().sum() / h.sum())
    size = SIZES[trial.profile]
    replicas = round(size.replicas * weighted / float(h.sum()))
    pace = sgd.learning_rate / (1 - instance.momentum)
    first, gap = math.ceil(SETTLING / (pace * float(h.min()))), math.ceil(1 / (pace * weighted))
    times = [first + i * gap for i in range(RECORDS)]
    result = run_ensemble(
        instance.model,
        instance.start.expand(size.groups * replicas, -1),
        sgd,
        times[-1],
        seed=trial.seed(*path),
        label_conditional=None if labels is None else labels.conditional,
        record_at=times,
        device=trial.device,
    )
    if result.diverged:
        raise DivergedError(f"{CLAIM}: {len(result.diverged)} replicas diverged at η = {sgd.learning_rate}")
    points = [result.records[k].to("cpu", torch.float64) for k in times]
    excess = torch.stack([exact_excess(instance.model, theta) for theta in points]).mean(0)
    trace = h.sum().expand(size.groups)
    if drift:
        # at all the times: a few of them would not give the mean of a trace that decays
        sample = [theta.reshape(size.groups, replicas, -1)[:, i] for i, theta in enumerate(points)]
        projected = retract(instance.model, torch.cat(sample))
        trace = fisher_trace(instance.model, projected).reshape(RECORDS, size.groups).mean(0)
    trial.advance()
    predicted = torch.tensor([instance.predict(sgd.learning_rate, float(t)) for t in trace], dtype=torch.float64)
    ratio: Float[np.ndarray, " group"] = (excess.reshape(size.groups, replicas).mean(1) / predicted).numpy()
    return ratio


def options(instance: Instance, rate: float) -> Sgd:
    """SGD at one of the values of `RATES`."""
    alpha = dict(instance.names)["alpha"]
    slope = 1 / (2 + math.exp(alpha) + math.exp(-alpha))
    eta = rate * 4 * slope * (1 - instance.momentum) / float(instance.spectrum.sum())
    return Sgd(eta, batch_size=instance.batch_size, momentum=instance.momentum)


def measure(trial: Trial, instance: Instance, *path: str | int) -> tuple[Float[np.ndarray, " group"], float]:
    """Return the ratio at η → 0 for each group, and the extrapolation remainder."""
    columns = [settled(trial, instance, options(instance, rate), *path, i) for i, rate in enumerate(RATES)]
    limit = richardson(np.array(RATES), np.stack(columns, 1), terms=TERMS)
    return limit.limits, limit.remainder


def test_plateau(trial: Trial) -> None:
    (design,) = trial.declare(designs(trial.profile))
    trial.plan(len(RATES) * design.instances + 5)
    for i in range(design.instances):
        kind, momentum = "pairs" if i % 4 < 3 else "product", 0.5 if i % 3 == 1 else 0.0
        instance = draw(trial, "instance", i, kind=kind, momentum=momentum)
        values, remainder = measure(trial, instance, "replicas", i)
        eta = options(instance, RATES[-1]).learning_rate
        trial.decide(
            design,
            values,
            parameters={**instance.parameters, "eta": eta},
            prediction=instance.predict(eta, float(instance.spectrum.sum())),
            systematic=remainder,
        )
        if i == 0:
            wrong = "η tr H/2B: the ½ of the quadratic loss, or of the stationary variance, forgotten"
            trial.control(
                "a constant of ½", wrong, design, values / 2, parameters=instance.parameters, systematic=remainder
            )
    _controls(trial, design)


def _controls(trial: Trial, design: Design) -> None:
    """Break hypotheses one by one on a product model at one rate, where the ratio would be within 20% of 1."""
    instance = replace(draw(trial, "control", kind="product"), batch_size=1)
    sgd = options(instance, RATES[1])
    trace = float(instance.spectrum.sum())
    noiseless: tuple[tuple[str, str, Gradient], ...] = (
        ("full-batch descent", "the gradient has no noise", "full"),
        ("soft labels", "the target is p* itself: no label noise on Γ", "soft"),
    )
    for name, broken, gradient in noiseless:
        quiet = replace(sgd, gradient=gradient)
        steps = math.ceil(1000 / sgd.learning_rate)
        final = ensemble(trial, instance.model, instance.start[None], quiet, steps, "control", name)
        value = float(exact_excess(instance.model, final)[0]) / instance.predict(sgd.learning_rate, trace)
        trial.control(name, broken, design, value, parameters=instance.parameters)
    isotropic = replace(sgd, gradient="isotropic", noise_scale=math.sqrt(trace / instance.model.n_parameters))
    noisy = (
        ("momentum unaccounted for", "the law of β = 0 applied to β = ½", replace(sgd, momentum=0.5), None),
        ("labels of another target", "labels from logit 0: the run leaves Γ", sgd, ProductModel(0.0)),
        ("isotropic noise", "Cov = H: noise as large, but as much along Γ as off it", isotropic, None),
    )
    for name, broken, changed, labels in noisy:
        values = settled(trial, instance, changed, "control", name, labels=labels, drift=False)
        trial.control(name, broken, design, values, parameters=instance.parameters)


seeds = st.integers(0, 2**32 - 1)
EPS = float(np.finfo(np.float64).eps)


@given(seed=seeds, size=st.integers(1, 6), step=st.floats(0.01, 1.8), batch=st.integers(1, 8))
def test_property_directions_do_not_interact_at_any_stable_rate(seed: int, size: int, step: float, batch: int) -> None:
    root = np.random.default_rng(seed).normal(size=(size, size + 2))
    H = root @ root.T
    h = np.linalg.eigvalsh(H)
    eta = step / float(h[-1])
    covariance = solve_discrete_lyapunov(np.eye(size) - eta * H, eta**2 * H / batch)
    expected = sum(find(CLAIM).predict("mode", eta=eta, B=batch, h=float(value)) for value in h)
    # the equation loses the ratio of the slowest contraction 1 − (1 − ηh)² in accuracy
    slowest = float(np.min(eta * h * (2 - eta * h)))
    assert abs(np.trace(H @ covariance) / 2 - expected) <= 64 * size**2 * EPS / slowest * expected


@given(h=st.floats(0.1, 10), momentum=st.floats(0, 0.95), step=st.floats(1e-6, 1e-3), batch=st.integers(1, 8))
def test_property_heavy_ball_plateau_is_that_of_the_effective_rate(
    h: float, momentum: float, step: float, batch: int
) -> None:
    eta = step * (1 - momentum) / h
    matrix = np.array([[1 + momentum - eta * h, -momentum], [1.0, 0.0]])
    covariance = solve_discrete_lyapunov(matrix, np.diag([eta**2 * h / batch, 0.0]))
    predicted = find(CLAIM).predict("momentum", eta=eta, B=batch, beta=momentum, trace=h)
    # exact: S = η(1+β)/(B(1−β)(2(1+β)−ηh)), larger by ηh/(2(1+β)−ηh) ≤ step; the slowest contraction is about step
    assert abs(h * covariance[0, 0] / 2 / predicted - 1) <= step + 1e4 * EPS / (step * (1 - momentum))


@given(seed=seeds, d=st.integers(2, 4), extra=st.integers(0, 4), alpha=st.floats(-2, 2))
def test_property_excess_is_half_the_quadratic_form_near_the_manifold(
    seed: int, d: int, extra: int, alpha: float
) -> None:
    model = PairModel(d, 2 * d + extra, alpha)
    generator = torch.Generator().manual_seed(seed)
    theta = random_minimiser(model, generator, max_rejections=20).theta
    direction = torch.randn(theta.shape, generator=generator, dtype=torch.float64)
    H = hessian(model, theta)[0]
    quadratic = float(direction[0] @ H @ direction[0]) / 2
    errors = [float(exact_excess(model, theta + e * direction)[0]) / (e**2 * quadratic) - 1 for e in (2e-4, 1e-4)]
    # the remainder is cubic: halving the distance halves the relative deviation, up to its own square
    assert abs(errors[1] - errors[0] / 2) <= 1e-2 * abs(errors[0]) + 1e-5
