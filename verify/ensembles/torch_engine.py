"""The torch engine: any finite model, any device, all replicas advanced by the same tensor operations."""

from __future__ import annotations

import torch
from torch import Tensor

from verify.ensembles.draws import SAMPLES, DrawTables, normals, philox
from verify.ensembles.options import DivergedReplica, Sgd
from verify.models import FiniteModel, TwoLayerModel

CHECKED_STEPS = 64
"""Steps between two looks for a parameter that is not finite."""

BUFFERED_WORDS = 2**17
"""Random words kept at once."""


class TorchEngine:
    """An ensemble of a finite model, advanced by eager torch operations.

    Two-layer models use their closed-form gradient, other models autograd of the summed loss, whose gradient with
    respect to one replica's row is that replica's own.
    """

    name = "torch"

    def __init__(self, model: FiniteModel, theta0: Tensor, sgd: Sgd, label_conditional: Tensor, *, seed: int) -> None:
        self.model, self.sgd, self.seed = model, sgd, seed
        self.labels = label_conditional
        self.tables = DrawTables(model, label_conditional)
        self.device = theta0.device
        self.replica = torch.arange(len(theta0), device=self.device)
        # stored with replicas along the contiguous axis, see TwoLayerModel.sample_gradient
        self.state = theta0.T.clone(memory_format=torch.contiguous_format).T
        self.velocity = torch.zeros_like(self.state)
        self.end = torch.full((len(theta0),), -1, dtype=torch.int64, device=self.device)
        self.found: dict[int, DivergedReplica] = {}
        self.buffer = torch.empty(0, 2, 0, dtype=torch.int64, device=self.device)
        self.buffer_first = 0
        self.context_columns = model.contexts.T.contiguous()
        self.one_hot = torch.eye(label_conditional.shape[-1], dtype=theta0.dtype, device=self.device)

    def advance(self, first: int, steps: int) -> None:
        """Take steps number `first` to `first + steps − 1` with every replica.

        If a replica stopped being finite since the last look, the steps since then are repeated one at a time.
        """
        for start in range(first, first + steps, CHECKED_STEPS):
            stop = min(start + CHECKED_STEPS, first + steps)
            saved = self.state.clone(), self.velocity.clone()
            for k in range(start, stop):
                self._step(k, stop)
            if not bool((self._finite() | (self.end >= 0)).all()):
                self.state, self.velocity = saved
                self._replay(start, stop)

    def _finite(self) -> Tensor:
        """Mask of replicas whose parameters are all finite."""
        return self.state.isfinite().all(-1)

    def _replay(self, start: int, stop: int) -> None:
        """Repeat steps one at a time and note where each replica diverges."""
        for k in range(start, stop):
            before = self.state.clone()
            self._step(k, stop)
            lost = (self.end < 0) & ~self._finite()
            self.end[lost] = k + 1
            for replica in lost.nonzero().flatten().tolist():
                self.found[replica] = DivergedReplica(replica, k + 1, self.sgd.learning_rate, before[replica])

    def _step(self, k: int, stop: int) -> None:
        """Take step number k; draws may be prepared for steps below `stop`."""
        rate, momentum = self.sgd.learning_rate, self.sgd.momentum
        gradient = self._gradient(k, stop)
        if momentum == 0:
            self.state.sub_(gradient, alpha=rate)
        else:
            self.velocity.mul_(momentum).sub_(gradient, alpha=rate)
            self.state.add_(self.velocity)

    def _gradient(self, k: int, stop: int) -> Tensor:
        """Return the gradient that step k descends, a row per replica."""
        if self.sgd.gradient in {"full", "isotropic"}:
            gradient = self._mean_gradient(self.model.contexts, self.labels, self.model.context_prob)
            if self.sgd.noise_scale is not None:
                scale = self.sgd.noise_scale / self.sgd.batch_size**0.5
                noise = normals(k, gradient.shape[1], self.replica, self.seed, gradient.dtype)
                gradient = gradient.add_(noise, alpha=scale)
            return gradient
        context, label = self._draw(k, stop)
        if isinstance(self.model, TwoLayerModel):
            hard = self.sgd.gradient == "sampled"
            plus = label.to(self.state.dtype) if hard else self.labels[:, 1].take(context)
            columns = self.state.T
            total = self._column_gradient(columns, context[0], plus[0])
            for b in range(1, self.sgd.batch_size):
                total.add_(self._column_gradient(columns, context[b], plus[b]))
            return total.div_(self.sgd.batch_size).T if self.sgd.batch_size > 1 else total.T
        target = self.one_hot[label.T] if self.sgd.gradient == "sampled" else self.labels[context.T]
        weight = target.new_full((self.sgd.batch_size,), 1 / self.sgd.batch_size)
        return self._mean_gradient(self.model.contexts[context.T], target, weight)

    def _column_gradient(self, columns: Tensor, context: Tensor, plus: Tensor) -> Tensor:
        """Return the gradient of a two-layer model at one context per replica, a column each."""
        assert isinstance(self.model, TwoLayerModel)
        return self.model.sample_gradient(columns, self.context_columns.index_select(1, context), plus)

    def _mean_gradient(self, contexts: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return ∇_θ of −Σ_b weight_b Σ_y target_by log p_θ(y | x_b)."""
        if isinstance(self.model, TwoLayerModel):
            return self.model.mean_gradient(self.state, contexts, target[..., 1], weight)
        with torch.enable_grad():
            theta = self.state.detach().requires_grad_()
            log_p = torch.log_softmax(self.model.scores(theta, contexts), dim=-1)
            loss = -((target * log_p).sum(-1) * weight).sum()
            return torch.autograd.grad(loss, theta)[0]

    def _draw(self, k: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return contexts and labels of step k, of shape (batch, replica)."""
        batch = self.sgd.batch_size
        start, end = k * batch, (k + 1) * batch
        if start < self.buffer_first or end > self.buffer_first + len(self.buffer):
            first, last = start // 2, (stop * batch - 1) // 2
            most = max((end - 1) // 2 - first + 1, BUFFERED_WORDS // (4 * len(self.replica)))
            counter = torch.arange(first, min(first + most, last + 1), device=self.device).unsqueeze(-1)
            words = torch.stack(philox(counter, self.replica, SAMPLES, self.seed), dim=1)
            self.buffer, self.buffer_first = words.view(-1, 2, len(self.replica)), 2 * first
        words = self.buffer[start - self.buffer_first : end - self.buffer_first]
        context = self.tables.choose_contexts(words[:, 0])
        label = self.tables.choose_labels(context, words[:, 1])
        return context, label

    def theta(self) -> Tensor:
        """Return a copy of the parameters, NaN for replicas that have diverged."""
        return torch.where((self.end >= 0).unsqueeze(-1), torch.nan, self.state)

    def divergences(self) -> tuple[DivergedReplica, ...]:
        """Return the replicas that diverged so far, in the order of their index."""
        return tuple(self.found[replica] for replica in sorted(self.found))
