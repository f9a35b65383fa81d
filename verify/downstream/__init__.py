"""What the features of a network are worth for another task.

`features` takes them from a network, `baselines` from no network, `ridge` and `minimum_norm` fit heads on them, and
`fine_tune` trains the network on together with a head.
"""

from verify.downstream.baselines import conditional_features, random_code, random_projection
from verify.downstream.features import alignment, every_masked_state, unmasked_states
from verify.downstream.fine_tune import FineTuning, fine_tune
from verify.downstream.minimum_norm import TransferResult, minimum_norm_head, score_predictions, transfer_experiment
from verify.downstream.ridge import RidgeFit, fit_ridge

__all__ = [
    "FineTuning",
    "RidgeFit",
    "TransferResult",
    "alignment",
    "conditional_features",
    "every_masked_state",
    "fine_tune",
    "fit_ridge",
    "minimum_norm_head",
    "random_code",
    "random_projection",
    "score_predictions",
    "transfer_experiment",
    "unmasked_states",
]
