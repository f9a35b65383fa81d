"""torch modules and Hugging Face causal language models as next-token models."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@contextmanager
def frozen(module: torch.nn.Module) -> Iterator[None]:
    """Run a module in eval mode and without gradients; every submodule's mode is put back afterwards."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True


@dataclass(frozen=True, eq=False)
class CausalModule:
    """A module that maps int64 tokens (batch, position) to logits (batch, position, token) of the token that follows.

    Every call runs in eval mode, without gradients, on the device of the module's parameters; logits are promoted to
    float64 and normalised there, and return to the device of the tokens. The module's own arithmetic stays what it
    is: in float32 the law is exact as the function computed, but rounds differently (by some 1e-6) in batches of
    different shapes; `double` gives a copy that computes in float64.

    Attributes:
        module: the network; only the tokens up to a position may influence its logits there.
        n_tokens: size of the vocabulary; further columns of the logits are ignored, as padding of the output layer.
        bos: the token put before every prefix; None for none, and then a language needs a prompt.
    """

    module: torch.nn.Module
    n_tokens: int
    bos: int | None = None

    @property
    def order(self) -> int | None:
        """None: all tokens before count."""
        return None

    def double(self) -> CausalModule:
        """Return the model with a float64 copy of the module."""
        return type(self)(copy.deepcopy(self.module).double(), self.n_tokens, self.bos)

    def next_log_prob(self, prefixes: Int64[Tensor, "prefix position"]) -> Float[Tensor, "prefix token"]:
        """Return the law after each prefix.

        Raises:
            ValueError: for an empty prefix without a start token.
        """
        inputs = self._started(prefixes)
        if inputs.shape[1] == 0:
            raise ValueError("expected a start token or a prompt, got neither; give bos=, or the language a prompt=")
        return self._log_softmax(self._logits(inputs)[:, -1], prefixes.device)

    def log_probs(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, "sentence position token"]:
        """Return the laws at all positions in one pass; NaN at the first one if there is no start token."""
        inputs = self._started(sentences[:, :-1])
        if inputs.shape[1] == 0:
            return torch.full((len(sentences), 1, self.n_tokens), math.nan, dtype=torch.float64, device=inputs.device)
        law = self._log_softmax(self._logits(inputs), sentences.device)
        missing = sentences.shape[1] - law.shape[1]
        return torch.nn.functional.pad(law, (0, 0, missing, 0), value=math.nan)

    def _started(self, tokens: Int64[Tensor, "row position"]) -> Int64[Tensor, "row started"]:
        return tokens if self.bos is None else torch.nn.functional.pad(tokens, (1, 0), value=self.bos)

    def _logits(self, inputs: Int64[Tensor, "row position"]) -> Tensor:
        with frozen(self.module):
            logits: Tensor = self.module(self._moved(inputs))
        return logits

    def _moved(self, tokens: Tensor) -> Tensor:
        parameter = next(self.module.parameters(), None)
        return tokens if parameter is None else tokens.to(parameter.device)

    def _log_softmax(self, logits: Tensor, device: torch.device) -> Float[Tensor, "*batch token"]:
        if logits.shape[-1] < self.n_tokens:
            raise ValueError(
                f"expected logits of at least {self.n_tokens} tokens, got {logits.shape[-1]}; lower n_tokens"
            )
        return logits[..., : self.n_tokens].to(device).double().log_softmax(-1)


@dataclass(frozen=True, eq=False)
class HuggingFaceModel(CausalModule):
    """A causal model called as `model(input_ids=…)`, its answer's `.logits` as in `CausalModule`."""

    def _logits(self, inputs: Int64[Tensor, "row position"]) -> Tensor:
        with frozen(self.module):
            logits: Tensor = self.module(input_ids=self._moved(inputs), use_cache=False).logits
        return logits


@dataclass(frozen=True, eq=False)
class CachedHuggingFaceModel(HuggingFaceModel):
    """The same, reading a prefix once for many continuations through the model's key-value cache."""

    def continued_log_probs(
        self, prefixes: Int64[Tensor, "prefix before"], continuations: Int64[Tensor, "prefix branch position"]
    ) -> Float[Tensor, "prefix branch position token"]:
        """Return the laws after prefix and branch, the prefix's keys and values shared by the branches."""
        branches = continuations.shape[1]
        inputs = self._started(prefixes)
        with frozen(self.module):
            # The argument has been renamed: ask the model which name it knows.
            name = "cache" if "cache" in inspect.signature(self.module.forward).parameters else "past_key_values"
            cache = _repeated(getattr(self.module(input_ids=self._moved(inputs), use_cache=True), name), branches)
            flat = self._moved(continuations.flatten(0, 1))
            logits = self.module(input_ids=flat, use_cache=True, **{name: cache}).logits
        law = self._log_softmax(logits, prefixes.device)
        return law.reshape(len(prefixes), branches, *law.shape[1:])


def from_huggingface(
    model: Any, bos: int | None = None, n_tokens: int | None = None, *, reuse_prefix: bool = True
) -> HuggingFaceModel:
    """Return the next-token model of a Hugging Face causal language model, given as an object.

    Nothing is imported from transformers: the model is a torch module called as `model(input_ids=…, use_cache=…)`,
    whose answer has `logits` and `past_key_values` (`cache` in later versions), which it takes back under that name.

    Args:
        model: the network; load its weights yourself.
        bos: the start token; default `model.config.bos_token_id`.
        n_tokens: size of the vocabulary; default `model.config.vocab_size`.
        reuse_prefix: whether to use the model's key-value cache, which `batch_repeat_interleave` (or, for tuples of
            tensors, repetition along the batch) copies to the branches.

    Raises:
        TypeError: if `model` is no torch module.
        ValueError: if the size of the vocabulary is neither given nor in the model's configuration.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"expected a torch module, got {type(model).__name__}; load the model and pass the object")
    config: Any = getattr(model, "config", None)
    start = bos if bos is not None else getattr(config, "bos_token_id", None)
    size = n_tokens if n_tokens is not None else getattr(config, "vocab_size", None)
    if size is None:
        raise ValueError("expected the size of the vocabulary, found no model.config.vocab_size; give n_tokens=")
    return (CachedHuggingFaceModel if reuse_prefix else HuggingFaceModel)(model, size, start)


def _repeated(cache: Any, branches: int) -> Any:
    if isinstance(cache, Tensor):
        return cache.repeat_interleave(branches, 0)
    if isinstance(cache, tuple | list):
        return tuple(_repeated(part, branches) for part in cache)
    if not hasattr(cache, "batch_repeat_interleave"):
        raise TypeError(
            f"expected a cache of tensors or one with batch_repeat_interleave, got {type(cache).__name__}; "
            "give reuse_prefix=False"
        )
    cache.batch_repeat_interleave(branches)
    return cache
