"""The trace of the Hessian or Fisher matrix of any model with a likelihood, each with an interval.

`trace(model, data)` is the entry; data are `Examples`, a `Population`, `LanguageData`, or anything that draws batches.

- `methods`: `trace`, its methods, and which number each gives
- `estimate`, `interval`, `sampling`: results, intervals for skewed units, two stages for a wanted error
- `data`, `likelihood`: where contexts come from, log p_θ and the parameters it is a function of
- `fisher`, `per_sample`, `hutchinson`: the estimators
- `huggingface`: likelihoods and data of masked and causal language models
"""

from verify.curvature.data import Data, Examples, Labelled, LanguageData, Population, call_model, softmax_of_model
from verify.curvature.estimate import TraceEstimate
from verify.curvature.interval import hall_interval
from verify.curvature.methods import METHODS, trace
from verify.curvature.products import SecondOrderError

__all__ = [
    "METHODS",
    "Data",
    "Examples",
    "Labelled",
    "LanguageData",
    "Population",
    "SecondOrderError",
    "TraceEstimate",
    "call_model",
    "hall_interval",
    "softmax_of_model",
    "trace",
]
