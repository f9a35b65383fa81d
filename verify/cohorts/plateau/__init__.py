"""The plateau law on trained networks: what sampled labels add to the loss, predicted from the spectrum of F.

`law` predicts and measures, `spectrum` has the eigenvalues of F of one network.
"""

from verify.cohorts.plateau.law import PlateauLaw, Protocol
from verify.cohorts.plateau.spectrum import fisher_spectrum

__all__ = ["PlateauLaw", "Protocol", "fisher_spectrum"]
