"""Training of stacks of masked-token networks on languages whose conditionals are known exactly.

`trainer` trains, `config` says how: labels that are sampled, soft or noisy (`labels`), SGD or AdamW (`optimisers`), a
penalty on tr F (`trace_penalty`), an adversary of the features (`adversary`). `excess` measures the loss above the
floor. `data` and `batches` draw examples, from `tables` where a language is small enough to be written out; `objective`
puts the terms together, `parameters` lays a stack out as one matrix, `diverged` tells of members that ended badly,
`threads` says with how many threads torch computes.
"""

from verify.training.adversary import Adversary
from verify.training.config import ConfigurationError, Training
from verify.training.diverged import AllDivergedError, ResumeError
from verify.training.excess import Excess, Reference, excess_loss
from verify.training.optimisers import SGD, AdamW
from verify.training.parameters import FlatParameters, network_at
from verify.training.tables import ContextTable, context_table, table_if_small
from verify.training.trace_penalty import TracePenalty
from verify.training.trainer import Trainer

__all__ = [
    "SGD",
    "AdamW",
    "Adversary",
    "AllDivergedError",
    "ConfigurationError",
    "ContextTable",
    "Excess",
    "FlatParameters",
    "Reference",
    "ResumeError",
    "TracePenalty",
    "Trainer",
    "Training",
    "context_table",
    "excess_loss",
    "network_at",
    "table_if_small",
]
