"""Small models whose contexts are enumerated, so that losses, Hessians and gradient noise are finite sums.

- `product`, `pairs`, `brackets`: the solvable models, each with its flattest minimum
- `model`, `two_layer`: what a finite model is, and those of one hidden layer, with derivatives in closed form
- `exact`: loss, gradient, Hessian, Fisher matrix and noise covariance of any of them
- `symbolic`: `SymbolicTorchModel`, a model derived in `theory.symbolic`; imported from there, as it brings sympy
- `divergence`: KL(p* ‖ p) to high relative accuracy
"""

from verify.models.brackets import BracketModel, bracket_contexts
from verify.models.exact import (
    exact_excess,
    exact_gradient,
    exact_loss,
    fisher,
    fisher_trace,
    hessian,
    label_noise_covariance,
    log_prob,
    log_prob_jacobian,
    trace_hessian,
)
from verify.models.model import FiniteModel
from verify.models.pairs import PairModel
from verify.models.product import ProductModel
from verify.models.two_layer import TwoLayerModel

__all__ = [
    "BracketModel",
    "FiniteModel",
    "PairModel",
    "ProductModel",
    "TwoLayerModel",
    "bracket_contexts",
    "exact_excess",
    "exact_gradient",
    "exact_loss",
    "fisher",
    "fisher_trace",
    "hessian",
    "label_noise_covariance",
    "log_prob",
    "log_prob_jacobian",
    "trace_hessian",
]
