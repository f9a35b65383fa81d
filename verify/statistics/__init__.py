"""Intervals, rank correlations and limits: what a claim's numbers are decided by.

intervals      `Interval`; exact for shares and deterministic values, Student t for means
association    Spearman's ρ, partial and over clusters, with a bootstrap interval
extrapolation  limits η → 0 from a few learning rates
"""

from verify.statistics.association import UndefinedCorrelationError, cluster_bootstrap, spearman
from verify.statistics.extrapolation import Extrapolation, richardson
from verify.statistics.intervals import Interval, Samples, binomial_interval, enclosure, student_t_interval

__all__ = [
    "Extrapolation",
    "Interval",
    "Samples",
    "UndefinedCorrelationError",
    "binomial_interval",
    "cluster_bootstrap",
    "enclosure",
    "richardson",
    "spearman",
    "student_t_interval",
]
