"""Property: every configuration goes to JSON and back; what is unknown or cannot be is refused."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verify.training.examples import reconsidered
from verify.training import objective
from verify.training.adversary import Adversary
from verify.training.averaging import Averaging
from verify.training.config import ConfigurationError, Training
from verify.training.optimisers import SGD
from verify.training.schedules import Schedule
from verify.training.trace_penalty import TracePenalty

share, whole = st.floats(0, 1, exclude_max=True), st.integers(1, 1000)
positive = st.floats(0, 1e3, exclude_min=True)
weights = st.floats(-10, 10) | st.lists(st.floats(-10, 10), min_size=1, max_size=3)
sgd = {"kind": st.just("sgd"), "momentum": share, "weight_decay": share}
adamw = {"kind": st.just("adamw"), "beta1": share, "beta2": share, "epsilon": positive, "weight_decay": share}
decaying = {
    "kind": st.sampled_from(["linear", "cosine"]),
    "warmup": st.integers(0, 5),
    "hold": st.integers(5, 10),
    "steps": st.integers(11, 20),
    "final": share,
}
adversary = {
    "weight": weights,
    "task": st.text(),
    "fitted": st.integers(2, 9),
    "validated": whole,
    "ridge": positive,
    "pooling": st.sampled_from(["concatenate", "mean"]),
    "cap": st.none() | positive,
}
# JSON, and not configurations: beartype, which checks these in tests, draws random numbers.
configurations = st.fixed_dictionaries(
    {
        "rate": positive | st.lists(positive, min_size=1, max_size=3),
        "batch": st.integers(10, 1000),
        "labels": st.sampled_from(["sampled", "soft", "isotropic"]),
        "optimiser": st.fixed_dictionaries(sgd) | st.fixed_dictionaries(adamw),
        "schedule": st.fixed_dictionaries({"warmup": whole}) | st.fixed_dictionaries(decaying),
        "average": st.none() | st.fixed_dictionaries({"start": whole, "every": whole, "decay": share}),
        "trace_penalty": st.none()
        | st.fixed_dictionaries({"weight": weights, "examples": st.integers(1, 10), "probes": whole}),
        "adversary": st.none() | st.fixed_dictionaries(adversary),
        "decay_vectors": st.booleans(),
        "precision": st.sampled_from(["float32", "float64", "bfloat16"]),
        "loss_bound": st.none() | positive,
        "record_every": whole,
        "prefetch": whole,
    }
)


@settings(max_examples=40, deadline=None)
@given(configurations)
def test_property_json_and_back(plain: dict[str, Any]) -> None:
    config = Training.from_json(plain)
    written = config.to_json()
    assert Training.from_json(json.loads(json.dumps(written, allow_nan=False))) == config
    assert written == {**plain, "schedule": {**asdict(Schedule()), **plain["schedule"]}}


def test_what_is_left_out_has_its_default() -> None:
    assert Training.from_json({"rate": 0.1}) == Training(0.1)
    plain = {"rate": 1, "optimiser": {"kind": "sgd"}, "average": {}}
    assert Training.from_json(plain) == Training(1.0, optimiser=SGD(), average=Averaging())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speed": 1}, "Training: unknown speed; it has adversary, average"),
        ({"optimiser": {"kind": "sgd", "beta1": 0.9}}, "SGD: unknown beta1; it has momentum, weight_decay"),
        ({"optimiser": {"momentum": 0.9}}, "expected an optimiser of kind sgd, adamw, got 'None'"),
        ({"optimiser": {"kind": "lion"}}, "expected an optimiser of kind sgd, adamw, got 'lion'"),
        ({"optimiser": {"kind": ["sgd"]}}, "expected an optimiser of kind"),
        ({"optimiser": "sgd"}, "expected optimiser of type"),
        ({"optimiser": {"kind": "sgd", "momentum": 2.0}}, "SGD: expected 0 <= momentum < 1"),
        ({"schedule": None}, "Training: expected schedule of type Schedule, got None"),
        ({"schedule": {"kind": "steps"}}, "Schedule: expected kind of type"),
        ({"schedule": {"kind": "linear"}}, "Schedule: expected 0 <= warmup"),
        ({"average": {"decay": 2.0}}, "Averaging: expected start"),
        ({"trace_penalty": {}}, "TracePenalty: .*missing"),
        ({"trace_penalty": {"weight": "x"}}, "TracePenalty: expected weight of type"),
        ({"trace_penalty": {"weight": 1.0, "examples": 129}}, "at most the 128 examples of a batch, got 129"),
        ({"adversary": {"weight": 1.0}}, "Adversary: .*missing"),
        ({"rate": -1.0}, "expected finite learning rates >= 0"),
        ({"rate": []}, "expected finite learning rates >= 0"),
        ({"rate": math.inf}, "expected rate of type .*, got inf"),
        ({"rate": [0.1, "x"]}, "expected rate of type"),
        ({"rate": True}, "expected rate of type"),
        ({"batch": 12.5}, "expected batch of type int, got 12.5"),
        ({"batch": 0}, "expected batch >= 1, got 0"),
        ({"record_every": 0}, "expected record_every >= 1"),
        ({"prefetch": 0}, "expected prefetch >= 1"),
        ({"labels": "noisy"}, "expected labels of type .*got 'noisy'"),
        ({"precision": "float16"}, "expected precision of type .*got 'float16'"),
        ({"decay_vectors": 1}, "expected decay_vectors of type bool, got 1"),
        ({"loss_bound": 0.0}, "expected loss_bound > 0 or None"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Training.from_json({"rate": 0.1, **changes})


def test_a_rate_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="missing"):
        Training.from_json({})


@pytest.mark.parametrize("changes", [{"labels": "noisy"}, {"precision": "float16"}])
def test_unknown_kinds_are_refused_by_the_constructor(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="choose one of them"):
        reconsidered(Training(0.1), **changes)


@pytest.mark.parametrize("changes", [{"examples": 0}, {"probes": 0}])
def test_a_trace_penalty_refuses(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected examples >= 1 and probes >= 1"):
        TracePenalty(1.0, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fitted": 1}, "expected fitted >= 2"),
        ({"validated": 0}, "expected fitted >= 2 and validated >= 1"),
        ({"ridge": 0.0}, "expected ridge > 0"),
        ({"cap": 0.0}, "cap > 0 or None"),
        ({"pooling": "max"}, "expected pooling concatenate or mean, got 'max'"),
    ],
)
def test_an_adversary_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reconsidered(Adversary(1.0, "task"), **changes)


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
