"""Languages whose masked-token conditionals are exactly known, one package for each kind, behind one interface.

`language`, `law`: the interface `Language`, to be implemented by a language of one's own (`adding_a_family.md`)
`tokens`, `enumeration`, `semiring`: how sentences are written, finite languages in full, sums of tiny numbers
`tasks`, `sentence_tasks`: downstream tasks, and those whose inputs are sentences of a language
`closed_form`: pairs, balanced words, nested brackets, tables
`hmm`, `pcfg`: hidden Markov models, probabilistic context-free grammars
`graphs`: Ising, Potts and parity models
`autoregressive`: n-grams of text, and any model that predicts the next token
`combinators`: mixtures, concatenations, noise, restrictions
`catalogue`: languages by name, in files and as pictures
`testing`: the conformance suite, an exact oracle, hypothesis strategies
"""

from synthetic.enumeration import EnumerationTooLargeError, ImpossibleContextError
from synthetic.language import Language
from synthetic.sentence_tasks import SentenceTask
from synthetic.tasks import DownstreamTask, LabelledEnumeration
from synthetic.tokens import MASK, PAD, mask

__all__ = [
    "MASK",
    "PAD",
    "DownstreamTask",
    "EnumerationTooLargeError",
    "ImpossibleContextError",
    "LabelledEnumeration",
    "Language",
    "SentenceTask",
    "mask",
]
