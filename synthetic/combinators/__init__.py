"""Languages made of languages; each keeps exact conditionals, or refuses and says why.

`mixture`: one of several languages, which of them unseen
`target_noise`: noise on the masked token
`channels`: the noise
"""

from synthetic.combinators.channels import symmetric_channel
from synthetic.combinators.mixture import Mixture
from synthetic.combinators.target_noise import TargetNoise

__all__ = ["Mixture", "TargetNoise", "symmetric_channel"]
