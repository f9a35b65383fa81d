"""What a configuration refuses, and that its JSON form tells all of it."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest
import torch

from tests.verify.training.examples import reconsidered
from verify.training import SGD, Adversary, ConfigurationError, TracePenalty, Training, objective


def test_the_json_form_has_every_field_and_tells_optimisers_apart() -> None:
    config = Training((0.1, 0.2), trace_penalty=TracePenalty(1.0), adversary=Adversary(1.0, "task"))
    plain = config.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain.keys() == {each.name for each in fields(Training)}
    assert plain["optimiser"]["kind"] != Training(0.1, optimiser=SGD()).to_json()["optimiser"]["kind"]


def test_closed_form_the_rate_falls_linearly_to_zero_or_stays() -> None:
    assert [Training(0.1, decay=4).factor(k) for k in range(6)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert [Training(0.1).factor(k) for k in (0, 10**9)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": -1.0}, "expected finite learning rates >= 0"),
        ({"rate": ()}, "expected finite learning rates >= 0"),
        ({"rate": math.inf}, "expected finite learning rates >= 0"),
        ({"batch": 0}, "expected batch >= 1, got 0"),
        ({"record_every": 0}, "expected record_every >= 1"),
        ({"prefetch": 0}, "expected prefetch >= 1"),
        ({"decay": -1}, "expected decay >= 0, got -1"),
        ({"trace_penalty": TracePenalty(1.0, examples=129)}, "at most the 128 examples of a batch, got 129"),
        ({"labels": "noisy"}, "expected labels among .*got 'noisy'; choose one of them"),
        ({"precision": "float16"}, "expected precision among .*got 'float16'; choose one of them"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        reconsidered(Training(0.1), **changes)


@pytest.mark.parametrize(
    ("value", "changes", "message"),
    [
        (TracePenalty(1.0), {"examples": 0}, "expected examples >= 1"),
        (Adversary(1.0, "task"), {"fitted": 1}, "expected fitted >= 2"),
        (Adversary(1.0, "task"), {"validated": 0}, "expected fitted >= 2 and validated >= 1"),
        (Adversary(1.0, "task"), {"ridge": 0.0}, "expected ridge > 0"),
    ],
)
def test_a_term_refuses(value: TracePenalty | Adversary, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reconsidered(value, **changes)


def test_bfloat16_needs_a_device_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Training(0.1, precision="bfloat16")
    with pytest.raises(ConfigurationError, match="expected a CUDA device for precision bfloat16, got cpu; train in"):
        objective.require_precision(config, torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "an old card")
    with pytest.raises(ConfigurationError, match="got an old card; train in float32"):
        objective.require_precision(config, torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    objective.require_precision(config, torch.device("cuda"))
