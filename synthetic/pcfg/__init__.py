"""Probabilistic context-free grammars: exact conditionals by inside and outside charts.

`language`: the sentences of a grammar up to a length, `PCFG`
`grammar`: the rules and their checks
`random`: random grammars, layered or recursive
`files`: grammars as text
`analysis`: termination, expected size, entropy
`tasks`: which symbol stands over the sentence or a span of it
"""

from synthetic.pcfg.files import read_plain, write_plain
from synthetic.pcfg.grammar import Grammar, GrammarError, Rule
from synthetic.pcfg.language import PCFG
from synthetic.pcfg.random import layered_grammar, random_grammar

__all__ = ["PCFG", "Grammar", "GrammarError", "Rule", "layered_grammar", "random_grammar", "read_plain", "write_plain"]
