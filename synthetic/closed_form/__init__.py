"""Languages solved in closed form.

`pairs`: a noisy product of two of d tokens
`brackets`: balanced or nested ±1 words with a noisy masked token
`nested_brackets`: nested brackets of several types, at most so deep
`table`: any finite list of sentences with weights
`walks`: ±1 walks with a given end, which the brackets are
"""

from synthetic.closed_form.brackets import BracketLanguage, SumSignTask
from synthetic.closed_form.nested_brackets import NestedBrackets
from synthetic.closed_form.pairs import PairLanguage, PairProductTask
from synthetic.closed_form.table import TableLanguage

__all__ = ["BracketLanguage", "NestedBrackets", "PairLanguage", "PairProductTask", "SumSignTask", "TableLanguage"]
