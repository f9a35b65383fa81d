"""The compiled engine: groups of replicas in SIMD registers, shared out over threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from verify.ensembles import kernels
from verify.ensembles.arithmetic import sigmoid_constants
from verify.ensembles.draws import DrawTables, seed_words
from verify.ensembles.lanes import BYTES
from verify.ensembles.options import DivergedReplica, Sgd
from verify.models import FiniteModel, TwoLayerModel

Array = npt.NDArray[Any]

ROW_STEPS_PER_CALL = 2**26
"""Work of one kernel call, about a quarter of a second, after which an interrupt is noticed."""

ACTIVATIONS = {"identity": kernels.IDENTITY, "square": kernels.SQUARE, "relu": kernels.RELU}


def why_not(model: FiniteModel, sgd: Sgd, dtype: torch.dtype, device: torch.device) -> str | None:
    """Return why the compiled engine cannot do a run, or None if it can."""
    if not isinstance(model, TwoLayerModel):
        return f"it has kernels for two-layer models, not for {type(model).__name__}"
    if sgd.gradient == "isotropic":
        return "it has no kernel for gradient='isotropic'"
    if dtype not in {torch.float32, torch.float64}:
        return f"it computes in float32 or float64, not {dtype}"
    if device.type != "cpu":
        return f"it runs on the CPU, not on {device}"
    return None


def aligned(rows: int, lanes: int, dtype: npt.DTypeLike) -> Array:
    """Return zeros for `rows` registers, at an address that a register may be loaded from."""
    raw = np.zeros((rows + 1) * BYTES, dtype=np.uint8)
    start = -raw.ctypes.data % BYTES
    return raw[start : start + rows * BYTES].view(dtype)[: rows * lanes]


class CompiledEngine:
    """An ensemble of a two-layer model, advanced by `kernels.run_group`."""

    name = "compiled"

    def __init__(
        self,
        model: TwoLayerModel,
        theta0: Tensor,
        sgd: Sgd,
        label_conditional: Tensor,
        *,
        seed: int,
        threads: int,
    ) -> None:
        self.dtype = np.float32 if theta0.dtype == torch.float32 else np.float64
        self.lanes = BYTES // np.dtype(self.dtype).itemsize
        self.model, self.sgd, self.threads = model, sgd, threads
        self.replicas, self.parameters = theta0.shape
        self.fan_in = model.dimension + model.bias
        self.order = self._row_of_parameter()
        self.rows = model.width * (1 + self.fan_in)
        self.groups = -(-self.replicas // self.lanes)
        self.state = [self._group_state(theta0.numpy(), g) for g in range(self.groups)]
        self.end = np.full((self.groups, self.lanes), -1, dtype=np.int64)
        self.survivors = np.zeros((self.groups, self.lanes, self.rows), dtype=self.dtype)
        self._prepare_draws(label_conditional, seed)

    def _row_of_parameter(self) -> Array:
        """Return the kernel's row of every parameter: the bias of a neuron follows its weights there."""
        m, d = self.model.width, self.model.dimension
        neurons = m + self.fan_in * np.arange(m)
        weights = (neurons[:, None] + np.arange(d)).ravel()
        biases = neurons + d if self.model.bias else neurons[:0]
        return np.concatenate([np.arange(m), weights, biases])

    def _group_state(self, theta: Array, group: int) -> tuple[Array, Array]:
        """Return θ and v of one group; lanes past the last replica repeat it, and are ignored."""
        members = np.minimum(np.arange(group * self.lanes, (group + 1) * self.lanes), self.replicas - 1)
        start = aligned(self.rows, self.lanes, self.dtype)
        start.reshape(self.rows, self.lanes)[self.order] = theta[members].T
        return start, aligned(self.rows, self.lanes, self.dtype)

    def _prepare_draws(self, label_conditional: Tensor, seed: int) -> None:
        """Lay out the tables that the kernel reads."""
        model, sgd = self.model, self.sgd
        tables = DrawTables(model, label_conditional)
        features = model.contexts.numpy()
        if model.bias:
            features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
        full = model.context_prob.numpy() if sgd.gradient == "full" else np.zeros(0)
        self.draws = (
            np.ascontiguousarray(features, dtype=self.dtype).ravel(),
            tables.cumulative.numpy(),
            tables.thresholds[:, 0].numpy(),
            np.ascontiguousarray(label_conditional[:, 1].numpy(), dtype=self.dtype),
            np.asarray(full, dtype=self.dtype),
            *(np.uint64(word) for word in seed_words(seed)),
        )
        self.options = (
            ACTIVATIONS[model.activation],
            model.width,
            sgd.batch_size if sgd.gradient != "full" else 1,
            sgd.gradient == "sampled",
            self.dtype(sgd.learning_rate),
            self.dtype(sgd.momentum),
        )
        self.samples = sgd.batch_size if sgd.gradient != "full" else len(full)

    def _scratch(self) -> tuple[tuple[Array, ...], tuple[Array, Array]]:
        """Return the working arrays of one thread."""
        constants = sigmoid_constants(self.dtype)
        constant_rows = aligned(len(constants), self.lanes, self.dtype)
        constant_rows[:] = np.repeat(np.asarray(constants, dtype=self.dtype), self.lanes)
        words = np.zeros((kernels.BUFFERED_CALLS, 4, self.lanes), dtype=np.uint32)
        hidden, features, target = (
            aligned(rows, self.lanes, self.dtype) for rows in (self.model.width, self.fan_in, 1)
        )
        saved = (aligned(self.rows, self.lanes, self.dtype), aligned(self.rows, self.lanes, self.dtype))
        chosen = np.zeros(self.lanes, dtype=np.int64)
        return (hidden, features, target, constant_rows, chosen, words), saved

    def advance(self, first: int, steps: int) -> None:
        """Take steps number `first` to `first + steps − 1` with every replica.

        An interrupt is raised after the kernel calls under way have ended, so that no thread outlives it.
        """
        remaining = iter(range(self.groups))
        stop = threading.Event()

        def work() -> None:
            scratch, saved = self._scratch()
            for group in remaining:
                self._advance_group(group, scratch, saved, first, steps, stop.is_set)

        workers = min(self.threads, self.groups)
        if workers == 1:
            work()
            return
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(work) for _ in range(workers)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stop.set()
                raise

    def _advance_group(
        self,
        group: int,
        scratch: tuple[Array, ...],
        saved: tuple[Array, Array],
        first: int,
        steps: int,
        stopped: Callable[[], bool],
    ) -> None:
        """Advance one group in calls short enough for an interrupt to be noticed."""
        per_call = max(1, ROW_STEPS_PER_CALL // (self.rows * self.samples))
        for done in range(0, steps, per_call):
            if stopped():
                return
            kernels.run_group(
                self.state[group],
                self.draws,
                self.options,
                scratch,
                saved,
                self.end[group],
                self.survivors[group],
                group * self.lanes,
                first + done,
                min(per_call, steps - done),
            )

    def theta(self) -> Tensor:
        """Return a copy of the parameters, NaN for replicas that have diverged."""
        stacked = np.stack([theta.reshape(self.rows, self.lanes) for theta, _ in self.state])
        rows = stacked[:, self.order].transpose(0, 2, 1).reshape(-1, self.parameters)[: self.replicas]
        rows[self.end.ravel()[: self.replicas] >= 0] = np.nan
        return torch.from_numpy(np.ascontiguousarray(rows))

    def divergences(self) -> tuple[DivergedReplica, ...]:
        """Return the replicas that diverged so far, in the order of their index."""
        ends = self.end.ravel()[: self.replicas]
        survivors = self.survivors.reshape(-1, self.rows)[:, self.order]
        return tuple(
            DivergedReplica(int(r), int(ends[r]), self.sgd.learning_rate, torch.from_numpy(survivors[r].copy()))
            for r in np.flatnonzero(ends >= 0)
        )
