"""Ensembles on trial: the claim's streams, and an error that names who diverged."""

import pytest
import torch

from theory.claims import CLAIMS
from verify.ensembles import Sgd
from verify.ensembles.on_trial import DivergedError, ensemble
from verify.environment import Settings
from verify.models import ProductModel
from verify.streams import RepeatedStreamError
from verify.trial import Trial

CLAIM = CLAIMS["product-model"]


def test_a_diverged_ensemble_is_an_error_that_names_replica_step_and_rate() -> None:
    trial = Trial(CLAIM, Settings())
    start = torch.tensor([[30.0, 0.05]] * 4, dtype=torch.float64)
    with pytest.raises(DivergedError, match=r"replicas diverged, replica \d+ first at step \d+ with learning rate 50"):
        ensemble(trial, ProductModel(1.5), start, Sgd(learning_rate=50.0, momentum=0.99), 4000, "x")


def test_one_diverged_replica_is_enough() -> None:
    start = torch.tensor([[0.0, 0.0], [30.0, 0.05]], dtype=torch.float64)  # the first never moves
    with pytest.raises(DivergedError, match="1 of 2 replicas diverged, replica 1 first"):
        ensemble(Trial(CLAIM, Settings()), ProductModel(1.5), start, Sgd(50.0, momentum=0.99), 4000, "x")


def test_equal_paths_share_their_random_numbers_where_that_is_said() -> None:
    trial = Trial(CLAIM, Settings())
    start = ProductModel(1.0).flattest().expand(8, 2)
    model, sgd = ProductModel(1.0), Sgd(learning_rate=0.1)
    runs = [ensemble(trial, model, start, sgd, 20, path, again=again) for path, again in (("a", False), ("a", True))]
    assert torch.equal(*runs)
    assert not torch.equal(runs[0], ensemble(trial, model, start, sgd, 20, "b"))
    with pytest.raises(RepeatedStreamError, match=r"got \('b',\) again"):
        ensemble(trial, model, start, sgd, 20, "b")
