"""What a training step asks of a batch: the loss of every member, and the gradient of all terms of its objective."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from synthetic import DownstreamTask, Language
from verify.training.adversary import CAP, Adversary, concatenated, task_draw, validation_loss
from verify.training.batches import BatchStream, generator_states, generators, restore_generators
from verify.training.config import ConfigurationError, Training
from verify.training.data import ExampleStream
from verify.training.labels import label_gradient
from verify.training.parameters import FlatParameters
from verify.training.tables import ContextTable
from verify.training.trace_penalty import TracePenalty, random_signs, trace_estimate

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""Type of the parameters for each precision."""


class Objective:
    """L + λ₁ tr F̂ − λ₂ min(V, `CAP`) on the next batch of every member, and its gradient.

    Each purpose (examples, isotropic noise, signs, downstream examples) has a stream of its own per seed, so that
    switching one term on or off leaves the others' random numbers as they are.

    Args:
        parameters: the network.
        language: where examples come from, one for all members or one per member.
        table: their contexts, if all are small enough.
        config: the terms.
        seeds: one per member.

    Raises:
        ConfigurationError: bfloat16 is asked for where it is not available, or the language lacks the adversary's task.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        language: Language | Sequence[Language],
        table: ContextTable | Sequence[ContextTable] | None,
        config: Training,
        seeds: Sequence[int],
    ) -> None:
        self.parameters = parameters
        self.config = config
        theta, network = parameters.theta, parameters.network
        network.fast = True
        require_precision(config, theta.device)
        self._examples = ExampleStream(
            language,
            table,
            seeds,
            stack=network.stack,
            batch=config.batch,
            conditional=config.labels != "sampled",
            prefetch=config.prefetch,
            dtype=theta.dtype,
            device=theta.device,
        )
        self._noise = generators(seeds, "noise", theta.device)
        self._signs = generators(seeds, "signs")
        self._downstream: BatchStream | None = None
        if config.adversary is not None:
            languages = [language] if isinstance(language, Language) else language
            draws = [task_draw(_task(own, config.adversary.task), theta.dtype) for own in languages]
            size = config.adversary.fitted + config.adversary.validated
            own_draws = draws if len(draws) > 1 else draws[0]
            self._downstream = BatchStream(own_draws, generators(seeds, "downstream"), size, config.prefetch)

    def __call__(self) -> tuple[Float[Tensor, " member"], Float[Tensor, "member parameter"]]:
        """Return the masked loss L and the gradient of the whole objective, on fresh examples."""
        batch = self._examples.next()
        with self._autocast():
            log_prob = self.parameters.network(batch.contexts)
        loss, gradient = label_gradient(
            self.config.labels, self.parameters, log_prob.to(self.parameters.theta.dtype), batch, self._noise
        )
        if (penalty := self.config.trace_penalty) is not None:
            gradient += self.parameters.gradient((penalty.weight * self.trace(penalty, batch.contexts)).sum())
        if (adversary := self.config.adversary) is not None and self._downstream is not None:
            sentences = self._downstream.next()
            gradient -= self.parameters.gradient((adversary.weight * self.validation(adversary, *sentences)).sum())
        return loss, gradient

    def trace(self, penalty: TracePenalty, contexts: Tensor) -> Float[Tensor, " member"]:
        """Return tr F̂ on the first of these contexts, with fresh signs; differentiable."""
        network, theta = self.parameters.network, self.parameters.theta
        shape = (1, penalty.examples, network.n_tokens)
        signs = random_signs(shape, self._signs, theta.dtype, theta.device)
        network.fast = False  # the estimate is differentiated again
        try:
            return trace_estimate(network, self.parameters.leaves, contexts[..., : penalty.examples, :], signs)
        finally:
            network.fast = True

    def validation(self, adversary: Adversary, *sentences: Tensor) -> Float[Tensor, " member"]:
        """Return min(V, `CAP`) of the adversary on sentences and their labels in one-hot code; differentiable."""
        network, theta = self.parameters.network, self.parameters.theta
        inputs, one_hot = (part.reshape(*network.stack, *part.shape[1:]).to(theta.device) for part in sentences)
        with self._autocast():
            states = network.states(inputs)
        features = concatenated(states.to(theta.dtype), inputs)
        return validation_loss(features, one_hot, adversary.fitted, adversary.ridge).reshape(len(theta)).clamp(max=CAP)

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return the states of all streams and the places in their blocks."""
        streams, places = {}, {}
        for name, stream in self._streams().items():
            streams[name], places[name] = stream.state()
        for name, members in (("noise", self._noise), ("signs", self._signs)):
            streams[name] = generator_states(members)
        return streams, places

    def restore(self, streams: dict[str, Tensor], places: dict[str, int]) -> None:
        """Go on where `state` was taken; errors as in `BatchStream.restore`."""
        for name, stream in self._streams().items():
            stream.restore(streams[name], places[name])
        for name, members in (("noise", self._noise), ("signs", self._signs)):
            restore_generators(members, streams[name])

    def _streams(self) -> dict[str, ExampleStream | BatchStream]:
        found: dict[str, ExampleStream | BatchStream] = {"examples": self._examples}
        if self._downstream is not None:
            found["downstream"] = self._downstream
        return found

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.config.precision != "bfloat16":
            return contextlib.nullcontext()
        return torch.autocast("cuda", dtype=torch.bfloat16)


def _task(language: Language, name: str) -> DownstreamTask:
    """Return a task of a language.

    Raises:
        ConfigurationError: it has none of that name.
    """
    tasks = language.downstream
    if name not in tasks:
        raise ConfigurationError(
            f"expected an adversary on a task of the language, got {name!r}; it has "
            f"{', '.join(sorted(tasks)) or 'none'}"
        )
    return tasks[name]


def require_precision(config: Training, device: torch.device) -> None:
    """Check that the device can train in the configured precision.

    Raises:
        ConfigurationError: bfloat16 is asked for on a device without it.
    """
    if config.precision != "bfloat16":
        return
    if device.type != "cuda":
        raise ConfigurationError(
            f"expected a CUDA device for precision bfloat16, got {device.type}; "
            "train in float32 here, or move the network to cuda"
        )
    if not torch.cuda.is_bf16_supported():
        raise ConfigurationError(
            f"expected a device with bfloat16 arithmetic, got {torch.cuda.get_device_name(device)}; train in float32"
        )
