"""Cohorts: stacks of networks, each on a random language of its own, trained in several ways and compared fairly.

`families` are the languages, `scale` the sizes, `conditions` the ways of training. A `Cohort` (`cohort`) trains them, a
`Bench` (`bench`) measures them: by `evaluations` of transfer and by `sharpness`. A `Comparison` (`comparison`) puts
conditions at the same excess loss, found on their paths (`path`). `laboratory` keeps the cohorts of a run, `designs`
and `verdicts` decide contrasts, `ranks` correlations. `closeness` measures how far minima of two tasks lie apart,
`plateau` what label noise adds to the loss. `phase` is training as work that a store resumes.
"""

from verify.cohorts.bench import Bench
from verify.cohorts.cohort import Cohort, CohortDivergedError
from verify.cohorts.comparison import Comparison, Contrast
from verify.cohorts.conditions import CONDITIONS, Condition, anneal
from verify.cohorts.designs import contrast, equivalence
from verify.cohorts.evaluations import EVALUATIONS, Evaluation
from verify.cohorts.families import FAMILIES, Family
from verify.cohorts.laboratory import from_stored, trained
from verify.cohorts.scale import SCALES, Scale, ScaleError, scale_of
from verify.cohorts.verdicts import (
    before_the_anneal,
    further_evaluations,
    mean,
    record,
    record_control,
    split_of_trace,
)

__all__ = [
    "CONDITIONS",
    "EVALUATIONS",
    "FAMILIES",
    "SCALES",
    "Bench",
    "Cohort",
    "CohortDivergedError",
    "Comparison",
    "Condition",
    "Contrast",
    "Evaluation",
    "Family",
    "Scale",
    "ScaleError",
    "anneal",
    "before_the_anneal",
    "contrast",
    "equivalence",
    "from_stored",
    "further_evaluations",
    "mean",
    "record",
    "record_control",
    "scale_of",
    "split_of_trace",
    "trained",
]
