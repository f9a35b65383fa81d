"""Ensembles on trial: the claim's streams, and an error that names who diverged."""

import pytest
import torch

from theory.claims import CLAIMS
from verify.ensembles import Sgd
from verify.ensembles.on_trial import DivergedError, ensemble
from verify.environment import Settings
from verify.models import ProductModel
from verify.trial import Trial

CLAIM = CLAIMS["product-model"]


def test_a_diverged_ensemble_is_an_error_that_names_replica_step_and_rate() -> None:
    trial = Trial(CLAIM, Settings())
    start = torch.tensor([[30.0, 0.05]] * 4, dtype=torch.float64)
    with pytest.raises(DivergedError, match=r"replicas diverged, replica \d+ first at step \d+ with learning rate 50"):
        ensemble(trial, ProductModel(1.5), start, Sgd(learning_rate=50.0, momentum=0.99), 4000, "x")


def test_equal_paths_share_their_random_numbers() -> None:
    trial = Trial(CLAIM, Settings())
    start = ProductModel(1.0).flattest().expand(8, 2)
    runs = [ensemble(trial, ProductModel(1.0), start, Sgd(learning_rate=0.1), 20, path) for path in ("a", "a", "b")]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
