"""Ensembles of SGD runs on finite models."""

from verify.ensembles.options import Divergence, EnsembleResult, Gradient, Sgd
from verify.ensembles.run import run_ensemble

__all__ = ["Divergence", "EnsembleResult", "Gradient", "Sgd", "run_ensemble"]
