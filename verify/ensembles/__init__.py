"""Ensembles of SGD runs on finite models."""

from verify.ensembles.options import DivergedReplica, EnsembleResult, Gradient, Sgd
from verify.ensembles.run import run_ensemble

__all__ = ["DivergedReplica", "EnsembleResult", "Gradient", "Sgd", "run_ensemble"]
