"""Ensembles of SGD runs: many replicas of one model, each with its own random stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from verify.ensembles.compiled import CompiledEngine, why_not
from verify.ensembles.draws import seed_words
from verify.ensembles.options import EnsembleResult, Sgd
from verify.ensembles.torch_engine import TorchEngine
from verify.environment import cores, require_device
from verify.models import FiniteModel, TwoLayerModel
from verify.models.exact import check_conditional

PROGRESS_CALLS = 100
"""How often a run reports progress, about."""


def run_ensemble(
    model: FiniteModel,
    theta0: Float[Tensor, "replica parameter"],
    sgd: Sgd,
    steps: int,
    *,
    seed: int,
    label_conditional: Float[Tensor, "context token"] | None = None,
    record_at: Sequence[int] = (),
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
    engine: Literal["auto", "compiled", "torch"] = "auto",
    threads: int | None = None,
) -> EnsembleResult:
    r"""Run SGD on every replica: v ← βv − ηg(θ), θ ← θ + v. Monte Carlo.

    Replica r's contexts and labels are a function of (seed, r, step) alone, by Philox4x32-10: they depend neither on
    the other replicas and their number, nor on threads, engine or device. Both engines follow the same path up to
    rounding. A diverged replica is reported with its exact step and last finite state, and its rows are NaN.

    Args:
        model: the finite model.
        theta0: starting points, one row per replica.
        sgd: learning rate, batch size, momentum and kind of gradient.
        steps: number of steps k; slow time is k · `sgd.slow_time_per_step`.
        seed: from 0 to 2⁶⁴ − 1.
        label_conditional: where labels and soft targets come from, instead of the model's p*.
        record_at: steps after which the parameters are kept; 0 is the start.
        dtype: floating type of parameters and gradients; the draws do not depend on it.
        device: "cpu" or "cuda".
        progress: called about a hundred times with the number of steps done.
        engine: "compiled" (two-layer models on the CPU), "torch" (everything), or "auto": compiled where it can.
        threads: of the compiled engine; by default one for each core this process may use.

    Raises:
        ValueError: an argument is out of range, or the engine cannot do the run.
    """
    place = torch.device(require_device(str(device)))
    start = time.perf_counter()
    labels = model.conditional if label_conditional is None else label_conditional
    check_conditional(model, labels)
    seed_words(seed)
    _check(model, theta0, steps, record_at)
    if threads is not None and threads < 1:
        raise ValueError(f"run_ensemble: expected threads >= 1, got {threads}; leave it out for torch's number")
    moved = model.to(device=place, dtype=dtype)
    origin = theta0.detach().to(device=place, dtype=dtype)
    obstacle = why_not(model, sgd, dtype, place)
    if engine == "compiled" and obstacle:
        raise ValueError(f"run_ensemble: the compiled engine cannot do this run: {obstacle}; use engine='torch'")
    runner: CompiledEngine | TorchEngine
    if engine != "torch" and obstacle is None and isinstance(model, TwoLayerModel):
        count = cores() if threads is None else threads
        # the tables are made from the float64 model, so that draws are the same for every dtype
        runner = CompiledEngine(model.to(device=place), origin, sgd, labels.to(place), seed=seed, threads=count)
    else:
        runner = TorchEngine(moved, origin, sgd, labels.to(device=place, dtype=dtype), seed=seed)
    records = {0: origin.clone()} if 0 in record_at else {}
    done, wanted = 0, set(record_at)
    with torch.no_grad():
        for stop in _stops(steps, record_at, progress is not None):
            runner.advance(done, stop - done)
            done = stop
            if done in wanted:
                records[done] = runner.theta()
            if progress is not None:
                progress(done)
    return EnsembleResult(
        theta=runner.theta(),
        records=records,
        diverged=runner.divergences(),
        steps=steps,
        seed=seed,
        sgd=sgd,
        engine="compiled" if isinstance(runner, CompiledEngine) else "torch",
        device=str(place),
        dtype=dtype,
        seconds=time.perf_counter() - start,
    )


def _stops(steps: int, record_at: Sequence[int], report: bool) -> list[int]:
    """Return the steps after which the run pauses to record or to report."""
    stops = {steps, *record_at}
    if report:
        stops.update(range(0, steps, max(1, steps // PROGRESS_CALLS)))
    return sorted(stops - {0})


def _check(model: FiniteModel, theta0: Tensor, steps: int, record_at: Sequence[int]) -> None:
    """Check starting points and steps.

    Raises:
        ValueError: they do not fit the model or each other.
    """
    if theta0.ndim != 2 or theta0.shape[1] != model.n_parameters or len(theta0) == 0:
        raise ValueError(
            f"run_ensemble: expected theta0 of shape (replica, {model.n_parameters}) for {model.name} with at "
            f"least one replica, got {tuple(theta0.shape)}; one run is theta0.unsqueeze(0)"
        )
    if not bool(theta0.isfinite().all()):
        bad = (~theta0.isfinite().all(-1)).nonzero().flatten().tolist()
        raise ValueError(f"run_ensemble: expected finite starting points, got others in replicas {bad[:8]}")
    if steps < 0:
        raise ValueError(f"run_ensemble: expected steps >= 0, got {steps}")
    outside = [step for step in record_at if not 0 <= step <= steps]
    if outside:
        raise ValueError(f"run_ensemble: expected record_at within 0..{steps}, got {outside[:8]}; raise steps")
