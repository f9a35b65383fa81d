"""Small networks, languages and checks for the tests of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from synthetic import Language
from synthetic.hmm import HMM, sticky_hmm
from verify.networks import Transformer, TransformerConfig

EPS = 2.0**-52


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_language(tokens: int = 3, length: int = 4, seed: int = 1) -> HMM:
    return sticky_hmm(stream(seed), 2, tokens, length)


def small_network(language: Language, seeds: Sequence[int] | int, dtype: torch.dtype = torch.float32) -> Transformer:
    """One network for a number, a stack for several; no bias is 0 and no gain 1, so that each of them matters."""
    config = TransformerConfig(language.n_tokens, language.length, width=4, layers=1, heads=1, mlp_ratio=1)
    stack = () if isinstance(seeds, int) else (len(seeds),)
    listed = [seeds] if isinstance(seeds, int) else seeds
    generators = [stream(seed) for seed in listed]
    network = Transformer(config, stack, generators, dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            for own, generator in zip(parameter if stack else [parameter], generators, strict=True):
                own.add_(0.3 * torch.randn(own.shape, generator=generator, dtype=dtype))
    return network


def assert_same_tensors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Bit for bit; a NaN is a NaN."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


def central_difference(along: Callable[[float], float], step: float, roundings: float) -> tuple[float, float]:
    """The slope of a function on a line at 0, and a bound of its error.

    D_h − f' = h² f'''/6 + O(h⁴), so that |D_2h − D_h| is three times the error of D_h while the cubic term leads: what
    is left over pays for the quartic one. Each value errs by `roundings` units of its last place.
    """
    near, far = (along(h) - along(-h) for h in (step, 2 * step))
    slope = near / (2 * step)
    return slope, abs(far / (4 * step) - slope) + 2 * roundings * EPS * max(1.0, abs(along(0.0))) / step


def reconsidered(value: Any, **changes: Any) -> None:
    """Check a configuration again after changes that its constructor's annotations, checked here, would not let by."""
    for name, change in changes.items():
        object.__setattr__(value, name, change)
    value.__post_init__()
