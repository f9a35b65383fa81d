"""Languages made of languages; each keeps exact conditionals, or refuses and says why.

`mixture`: one of several languages, which of them unseen
`concatenation`: independent parts, one after the other
`target_noise`, `token_noise`: noise on the masked token, or on all of them
`restricted`: the sentences of some lengths, or that satisfy a condition
`channels`: the noise
"""

from synthetic.combinators.channels import symmetric_channel
from synthetic.combinators.concatenation import Concatenation
from synthetic.combinators.mixture import Mixture
from synthetic.combinators.restricted import Restricted, Satisfying
from synthetic.combinators.target_noise import TargetNoise
from synthetic.combinators.token_noise import TokenNoise

__all__ = ["Concatenation", "Mixture", "Restricted", "Satisfying", "TargetNoise", "TokenNoise", "symmetric_channel"]
