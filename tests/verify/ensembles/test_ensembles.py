"""SGD ensembles: both engines against each other, a naive oracle and exact recursions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import jaxtyping
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from tests.verify.models.examples import Opaque
from verify.ensembles import EnsembleResult, Gradient, Sgd, arithmetic, compiled, kernels, run_ensemble
from verify.ensembles.draws import SAMPLES, DrawTables, normals, philox
from verify.models import BracketModel, FiniteModel, PairModel, ProductModel, TwoLayerModel, exact_gradient

EPS = torch.finfo(torch.float64).eps
ENGINES = ("compiled", "torch")


def models() -> list[TwoLayerModel]:
    skewed = BracketModel(4, 3, 0.8)
    skewed.context_prob = torch.softmax(skewed.contexts[:, 0], 0)
    return [
        ProductModel(0.8),
        PairModel(4, 12, 1.5),
        PairModel(3, 2, -1.0),
        BracketModel(6, 5, 1.3),
        BracketModel(4, 3, 1.3, nested=True, bias=True),
        skewed,
    ]


def starts(model: FiniteModel, replicas: int, seed: int = 0, scale: float = 0.4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(replicas, model.n_parameters, generator=generator, dtype=torch.float64)


def oracle(
    model: TwoLayerModel, theta0: npt.NDArray[np.float64], sgd: Sgd, steps: int, seed: int, replica: int
) -> npt.NDArray[np.float64]:
    """One replica with plain loops over neurons, after the textbook."""
    m, d = model.width, model.dimension
    tables = DrawTables(model, model.conditional)
    contexts, truth = model.contexts.numpy(), model.conditional.numpy()[:, 1]
    theta, velocity = theta0.copy(), np.zeros_like(theta0)
    for k in range(steps):
        gradient = np.zeros_like(theta)
        for b in range(sgd.batch_size):
            sample = k * sgd.batch_size + b
            words = philox(torch.tensor([[sample // 2]]), torch.tensor([replica]), SAMPLES, seed)
            context = tables.choose_contexts(words[2 * (sample % 2)])
            label = tables.choose_labels(context, words[2 * (sample % 2) + 1])
            z = contexts[int(context)]
            target = float(label) if sgd.gradient == "sampled" else truth[int(context)]
            f, columns = 0.0, np.zeros_like(theta)
            for j in range(m):
                w = theta[m + j * d : m + (j + 1) * d]
                h = float(w @ z) + (theta[m + m * d + j] if model.bias else 0.0)
                value, slope = {
                    "identity": (h, 1.0),
                    "square": (h * h, 2 * h),
                    "relu": (max(h, 0.0), float(h > 0)),
                }[model.activation]
                f += theta[j] * value
                columns[j] = value
                columns[m + j * d : m + (j + 1) * d] = theta[j] * slope * z
                if model.bias:
                    columns[m + m * d + j] = theta[j] * slope
            gradient += (1 / (1 + math.exp(-f)) - target) * columns / sgd.batch_size
        velocity = sgd.momentum * velocity - sgd.learning_rate * gradient
        theta = theta + velocity
    return theta


OPTIONS = [
    Sgd(0.05),
    Sgd(0.05, batch_size=3),
    Sgd(0.02, batch_size=2, momentum=0.9),
    Sgd(0.02, momentum=0.5),
    Sgd(0.05, gradient="soft"),
]


@pytest.mark.parametrize("model", models(), ids=lambda m: m.name)
@pytest.mark.parametrize("sgd", OPTIONS, ids=lambda s: f"{s.gradient}-{s.batch_size}-{s.momentum}")
def test_engines_equal_a_naive_oracle(model: TwoLayerModel, sgd: Sgd) -> None:
    theta0, steps = starts(model, 19), 70
    results = [run_ensemble(model, theta0, sgd, steps, seed=2**40 + 3, engine=e) for e in ENGINES]  # type: ignore[arg-type]  # mypy widens the literals
    # rounding of about ten operations a step, amplified at most e-fold over 70 small steps of a smooth map
    tolerance = 1e3 * steps * EPS
    for result in results:
        assert not result.diverged
        for replica in (0, 18):
            expected = oracle(model, theta0[replica].numpy(), sgd, steps, 2**40 + 3, replica)
            np.testing.assert_allclose(result.theta[replica].numpy(), expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(results[0].theta, results[1].theta, rtol=0, atol=tolerance)


@pytest.mark.parametrize("gradient", ["sampled", "soft", "full", "isotropic"])
def test_models_without_closed_forms_follow_the_same_path(gradient: Gradient) -> None:
    model = PairModel(3, 4, 1.1)
    noise = 0.3 if gradient == "isotropic" else None
    sgd = Sgd(0.05, batch_size=2, momentum=0.3, gradient=gradient, noise_scale=noise)
    theta0 = starts(model, 5)
    generic = run_ensemble(Opaque(model), theta0, sgd, 40, seed=1)
    assert generic.engine == "torch"
    special = run_ensemble(model, theta0, sgd, 40, seed=1)
    assert special.engine == ("torch" if gradient == "isotropic" else "compiled")
    torch.testing.assert_close(generic.theta, special.theta, rtol=0, atol=1e3 * 40 * EPS)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", models(), ids=lambda m: m.name)
def test_full_batch_is_gradient_descent_with_the_exact_gradient(model: TwoLayerModel, engine: str) -> None:
    theta0, steps = starts(model, 3), 30
    sgd = Sgd(0.1, batch_size=4, momentum=0.6, gradient="full")
    result = run_ensemble(model, theta0, sgd, steps, seed=0, engine=engine)  # type: ignore[arg-type]  # a parameter
    theta, velocity = theta0.clone(), torch.zeros_like(theta0)
    for _ in range(steps):
        velocity = 0.6 * velocity - 0.1 * exact_gradient(model, theta)
        theta = theta + velocity
    torch.testing.assert_close(result.theta, theta, rtol=0, atol=1e4 * steps * EPS)


@pytest.mark.parametrize("engine", ENGINES)
def test_soft_labels_and_full_batches_do_not_move_a_minimum(engine: str) -> None:
    model = PairModel(4, 6, 1.5)
    theta0 = model.flattest().expand(4, -1)
    for gradient in ("soft", "full"):
        result = run_ensemble(
            model,
            theta0,
            Sgd(0.05, gradient=gradient),
            500,
            seed=0,
            engine=engine,  # type: ignore[arg-type]  # parameters
        )
        # p_θ − p* is a few ε at the start, and stays so: each step moves θ by η × that × ‖∇f‖ ≤ ε
        assert float((result.theta - theta0).abs().max()) < 500 * EPS
    moved = run_ensemble(model, theta0, Sgd(0.05), 500, seed=0, engine=engine)  # type: ignore[arg-type]  # a parameter
    assert float((moved.theta - theta0).abs().max()) > 0.01


@pytest.mark.parametrize("engine", ENGINES)
def test_product_model_obeys_its_exact_recursion(engine: str) -> None:
    model, rate, steps = ProductModel(0.8), 0.1, 200
    theta0 = torch.stack([model.on_manifold(x) for x in (3.0, -1.0, 0.5)])
    result = run_ensemble(
        model,
        theta0,
        Sgd(rate, batch_size=2),
        steps,
        seed=5,
        record_at=range(steps + 1),
        engine=engine,  # type: ignore[arg-type]  # a parameter
    )
    path = torch.stack([result.records[k] for k in range(steps + 1)])
    u, v = path[..., 0], path[..., 1]
    imbalance = u.square() - v.square()
    g = (u[:-1] - u[1:]) / (rate * v[:-1])
    scale = path.square().sum(-1)[1:].max()
    torch.testing.assert_close(
        imbalance[1:], imbalance[:-1] * (1 - rate**2 * g.square()), rtol=0, atol=float(64 * EPS * scale / rate)
    )
    # the batch mean of two residuals σ(uv) − y takes three values, all of which occur
    residual = torch.round(2 * (torch.sigmoid(u * v)[:-1] - g))
    torch.testing.assert_close(2 * (torch.sigmoid(u * v)[:-1] - g), residual, rtol=0, atol=1e-11)
    assert set(residual.flatten().tolist()) == {0.0, 1.0, 2.0}


def test_isotropic_noise_is_the_exact_gradient_plus_scaled_normals() -> None:
    model = PairModel(3, 2, 1.0)
    theta0 = starts(model, 6)
    sgd = Sgd(0.1, batch_size=4, gradient="isotropic", noise_scale=0.8)
    result = run_ensemble(model, theta0, sgd, 2, seed=9)
    theta = theta0
    for k in range(2):
        noise = normals(k, model.n_parameters, torch.arange(6), 9, torch.float64)
        theta = theta - 0.1 * (exact_gradient(model, theta) + 0.4 * noise)
    torch.testing.assert_close(result.theta, theta, rtol=0, atol=64 * EPS)


@pytest.mark.parametrize("engine", ENGINES)
def test_labels_can_come_from_another_conditional(engine: str) -> None:
    model, certain = PairModel(2, 2, 1.0), PairModel(2, 2, 40.0)
    run: Callable[..., EnsembleResult] = run_ensemble
    theta0, sgd = starts(model, 8), Sgd(0.1)
    override = run(model, theta0, sgd, 50, seed=3, label_conditional=certain.conditional, engine=engine)
    plain = run(certain, theta0, sgd, 50, seed=3, engine=engine)
    own = run(model, theta0, sgd, 50, seed=3, engine=engine)
    assert torch.equal(override.theta, plain.theta)
    assert not torch.equal(override.theta, own.theta)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_replica_depends_on_seed_and_index_alone(engine: str, dtype: torch.dtype) -> None:
    model, sgd = PairModel(4, 3, 1.5), Sgd(0.05, batch_size=3)
    theta0 = starts(model, 37)
    run: Callable[..., EnsembleResult] = run_ensemble
    whole = run(model, theta0, sgd, 200, seed=4, engine=engine, dtype=dtype, threads=1)
    for count in (1, 16, 21):
        fewer = run(model, theta0[:count], sgd, 200, seed=4, engine=engine, dtype=dtype)
        # torch may vectorise a shorter row differently; the compiled engine does the same operations
        slack = 0.0 if engine == "compiled" else 1e3 * torch.finfo(dtype).eps
        torch.testing.assert_close(fewer.theta, whole.theta[:count], rtol=0, atol=slack)
    paused = run(model, theta0, sgd, 200, seed=4, engine=engine, dtype=dtype, threads=3, record_at=[0, 67, 131])
    assert torch.equal(paused.theta, whole.theta)
    assert torch.equal(paused.records[0], theta0.to(dtype))
    upto = run(model, theta0, sgd, 67, seed=4, engine=engine, dtype=dtype)
    assert torch.equal(paused.records[67], upto.theta)
    other = run(model, theta0, sgd, 200, seed=5, engine=engine, dtype=dtype)
    assert not torch.equal(other.theta, whole.theta)
    same_start = run(model, theta0[:1].expand(4, -1), sgd, 50, seed=4, engine=engine, dtype=dtype)
    assert len(set(map(tuple, same_start.theta.tolist()))) == 4


def test_float32_follows_float64() -> None:
    model, theta0 = PairModel(4, 12, 1.5), starts(PairModel(4, 12, 1.5), 40)
    double = run_ensemble(model, theta0, Sgd(0.02), 300, seed=4)
    for engine in ENGINES:
        single = run_ensemble(
            model,
            theta0,
            Sgd(0.02),
            300,
            seed=4,
            dtype=torch.float32,
            engine=engine,  # type: ignore[arg-type]  # a parameter
        )
        assert single.theta.dtype == single.dtype == torch.float32
        # the draws are the same, so the difference is rounding: random walks of 300 steps of a few ε each
        assert float((single.theta - double.theta).abs().max()) < 300 * 10 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("sgd", [Sgd(40.0), Sgd(8.0, batch_size=2, momentum=0.8)])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_diverged_replica_is_reported_exactly_and_never_averaged(engine: str, sgd: Sgd) -> None:
    model = PairModel(4, 3, 1.5)
    theta0 = torch.cat([torch.zeros(2, 15), 3 + torch.zeros(1, 15), torch.zeros(30, 15)]).double()
    theta0[20] = -2.0
    run: Callable[..., EnsembleResult] = run_ensemble
    steps = 400
    result = run(model, theta0, sgd, steps, seed=1, engine=engine, record_at=[1, steps])
    assert {d.replica for d in result.diverged} == {2, 20}
    assert result.healthy.sum() == 31
    assert result.theta[~result.healthy].isnan().all()
    assert result.theta[result.healthy].isfinite().all()
    assert result.records[steps][~result.healthy].isnan().all()
    assert result.records[1].isfinite().all()
    for divergence in result.diverged:
        assert divergence.learning_rate == sgd.learning_rate
        before = run(model, theta0, sgd, divergence.step - 1, seed=1, engine=engine)
        assert torch.equal(before.theta[divergence.replica], divergence.last_finite_state)
        assert divergence.replica not in {d.replica for d in before.diverged}
        after = run(model, theta0, sgd, divergence.step, seed=1, engine=engine)
        assert divergence.replica in {d.replica for d in after.diverged}


def test_both_engines_agree_on_the_step_of_divergence() -> None:
    # at this rate (u, v) ← −η(σ(uv) − y)(v, u) up to one part in a million: no cancellation, so no chaos
    model, theta0 = ProductModel(0.8), starts(ProductModel(0.8), 40)
    run: Callable[..., EnsembleResult] = run_ensemble
    results = [run(model, theta0, Sgd(1e6), 400, seed=1, engine=e) for e in ENGINES]
    steps = [{d.replica: d.step for d in r.diverged} for r in results]
    assert steps[0] == steps[1]
    assert len(steps[0]) == 40
    assert len(set(steps[0].values())) > 10


def test_sigmoid_of_the_kernels_is_accurate() -> None:
    for dtype, limit in ((np.float32, 80.0), (np.float64, 700.0)):
        lanes = 64 // np.dtype(dtype).itemsize
        x = compiled.aligned(4000, lanes, dtype)
        x[:] = np.concatenate([np.linspace(-limit, limit, x.size - 2000), np.linspace(-2, 2, 2000)])
        constants = arithmetic.sigmoid_constants(dtype)
        rows = compiled.aligned(len(constants), lanes, dtype)
        rows[:] = np.repeat(np.asarray(constants, dtype=dtype), lanes)
        out = compiled.aligned(4000, lanes, dtype)
        arithmetic.sigmoid_of(x, rows, out)
        wide = x.astype(np.longdouble)
        exact = np.where(wide < 0, np.exp(-np.abs(wide)), 1) / (1 + np.exp(-np.abs(wide)))
        # polynomial, reconstruction, sum and quotient round once each
        assert float(np.max(np.abs(out - exact) / exact)) < 4 * np.finfo(dtype).eps
        x[: 3 * lanes] = np.repeat(np.asarray([np.inf, -np.inf, np.nan], dtype=dtype), lanes)
        arithmetic.sigmoid_of(x, rows, out)
        assert (out[:lanes] == 1).all()
        assert (out[lanes : 2 * lanes] < np.finfo(dtype).tiny * 10).all()
        assert np.isnan(out[2 * lanes : 3 * lanes]).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_progress_and_interrupts(engine: str) -> None:
    model, theta0 = PairModel(2, 2, 1.0), starts(PairModel(2, 2, 1.0), 40)
    run: Callable[..., EnsembleResult] = run_ensemble
    seen: list[int] = []
    result = run(model, theta0, Sgd(0.01), 250, seed=0, progress=seen.append, engine=engine)
    assert seen == sorted(set(seen))
    assert seen[-1] == 250
    assert torch.equal(result.theta, run(model, theta0, Sgd(0.01), 250, seed=0, engine=engine).theta)

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, theta0, Sgd(0.01), 250, seed=0, progress=interrupt, engine=engine, threads=2)
    again = run(model, theta0, Sgd(0.01), 250, seed=0, engine=engine, threads=2)
    assert torch.equal(result.theta, again.theta)


def test_an_error_in_a_thread_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(*_: object) -> None:
        calls.append(1)
        raise MemoryError

    monkeypatch.setattr(kernels, "run_group", fail)
    model = PairModel(2, 2, 1.0)
    with pytest.raises(MemoryError):
        run_ensemble(model, starts(model, 800), Sgd(0.01), 10, seed=0, threads=2)
    assert len(calls) <= 2  # of a hundred groups


def test_kernels_compile_without_a_cache_where_no_directory_is_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core import caching

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    function: Any = kernels.compile_cached(lambda x: x + 1)
    assert function(1) == 2
    assert type(function._cache).__name__ == "NullCache"


def test_the_sources_are_part_of_the_cache_key() -> None:
    def keys(function: Any) -> set[object]:
        return {cell.cell_contents for cell in function.py_func.__closure__}

    assert keys(kernels.run_group) == {kernels.source_digest()}
    assert keys(kernels._build_run_group("other")) == {"other"}


def test_slow_time() -> None:
    sgd = Sgd(0.02, batch_size=4, momentum=0.5)
    assert sgd.slow_time_per_step == pytest.approx(0.02**2 / (4 * 0.25), rel=4 * EPS)
    assert sgd.steps_for(2.0) == 5000
    assert [sgd.steps_for(steps * sgd.slow_time_per_step) for steps in (1.25, 1.75)] == [1, 2]


def test_no_steps_return_the_start() -> None:
    model = PairModel(2, 2, 1.0)
    theta0 = starts(model, 3)
    assert torch.equal(run_ensemble(model, theta0, Sgd(0.1), 0, seed=0).theta, theta0)


def test_errors_say_what_is_wrong() -> None:
    model = PairModel(2, 2, 1.0)
    theta0 = starts(model, 3)
    run: Callable[..., EnsembleResult] = run_ensemble
    bad = theta0.clone()
    bad[1, 0] = math.nan
    cases: dict[str, Callable[[], object]] = {
        "expected a finite learning_rate > 0, got 0": lambda: Sgd(0.0),
        "expected batch_size >= 1, got 0": lambda: Sgd(0.1, batch_size=0),
        "expected momentum in [0, 1), got 1.0": lambda: Sgd(0.1, momentum=1.0),
        "expected noise_scale > 0 for isotropic noise, got None": lambda: Sgd(0.1, gradient="isotropic"),
        "got gradient='sampled'; leave it out": lambda: Sgd(0.1, noise_scale=1.0),
        "expected theta0 of shape (replica, 6)": lambda: run(model, theta0[:, :5], Sgd(0.1), 1, seed=0),
        "at least one replica, got (0, 6)": lambda: run(model, theta0[:0], Sgd(0.1), 1, seed=0),
        "got others in replicas [1]": lambda: run(model, bad, Sgd(0.1), 1, seed=0),
        "expected steps >= 0, got -1": lambda: run(model, theta0, Sgd(0.1), -1, seed=0),
        "expected record_at within 0..5, got [6]": lambda: run(model, theta0, Sgd(0.1), 5, seed=0, record_at=[2, 6]),
        "expected threads >= 1, got 0": lambda: run(model, theta0, Sgd(0.1), 5, seed=0, threads=0),
        "expected a seed from 0": lambda: run(model, theta0, Sgd(0.1), 5, seed=-1),
        "kernels for two-layer models, not for Opaque; use engine='torch'": lambda: run(
            Opaque(model), theta0, Sgd(0.1), 5, seed=0, engine="compiled"
        ),
        "no kernel for gradient='isotropic'": lambda: run(
            model, theta0, Sgd(0.1, gradient="isotropic", noise_scale=1.0), 5, seed=0, engine="compiled"
        ),
        "it computes in float32 or float64": lambda: run(
            model, theta0, Sgd(0.1), 5, seed=0, engine="compiled", dtype=torch.bfloat16
        ),
        "expected shape (4, 2), got (3, 2)": lambda: run(
            model, theta0, Sgd(0.1), 5, seed=0, label_conditional=model.conditional[:3]
        ),
    }
    for message, call in cases.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            call()
    assert compiled.why_not(model, Sgd(0.1), torch.float64, torch.device("meta")) == ("it runs on the CPU, not on meta")


def test_an_unknown_gradient_is_refused_without_type_checks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="sampled, soft, full or isotropic, got 'adam'"):
        Sgd(0.1, gradient="adam")  # type: ignore[arg-type]  # the error


@pytest.mark.parametrize("replicas", [1, 5])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_starting_points_are_left_alone(engine: str, replicas: int) -> None:
    model = PairModel(2, 2, 1.0)
    theta0 = starts(model, replicas)
    before = theta0.clone()
    run: Callable[..., EnsembleResult] = run_ensemble
    result = run(model, theta0, Sgd(0.1, momentum=0.5), 20, seed=0, record_at=[0, 10], engine=engine)
    assert torch.equal(theta0, before)
    assert torch.equal(result.records[0], before)
    assert not torch.equal(result.records[10], result.theta)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_a_device_is_one_clear_error() -> None:
    model = PairModel(2, 2, 1.0)
    with pytest.raises(ValueError, match="expected a CUDA device"):
        run_ensemble(model, starts(model, 3), Sgd(0.1), 5, seed=0, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_follows_the_cpu() -> None:
    model = PairModel(4, 12, 1.5)
    theta0 = starts(model, 100)
    here = run_ensemble(model, theta0, Sgd(0.02, batch_size=2), 100, seed=0)
    there = run_ensemble(model, theta0, Sgd(0.02, batch_size=2), 100, seed=0, device="cuda")
    assert there.engine == "torch"
    torch.testing.assert_close(there.theta.cpu(), here.theta, rtol=0, atol=1e3 * 100 * EPS)
