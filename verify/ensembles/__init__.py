"""Ensembles of SGD runs on finite models: thousands of replicas, each with a random stream of its own.

- `options`: `Sgd`, what is asked for, and `EnsembleResult`, what comes back
- `run`: `run_ensemble`
- `compiled` (with `kernels`, `lanes`, `arithmetic`): two-layer models on the CPU; `torch_engine`: everything, anywhere
- `draws`: the counter-based random numbers that both share
"""

from verify.ensembles.options import DivergedReplica, EnsembleResult, Gradient, Sgd
from verify.ensembles.run import run_ensemble

__all__ = ["DivergedReplica", "EnsembleResult", "Gradient", "Sgd", "run_ensemble"]
