"""Languages written token by token: exact masked conditionals from a law of the next token.

`ngram_language`: sentences of an n-gram model, solved exactly
`ngram`: the n-gram model itself, fitted to text
`corpus`: text that ships with Python, and the n-gram language of it
`language`: any law of the next token as a language
`next_token`, `modules`: such a law from a function, a torch module or a Hugging Face model
"""

from synthetic.autoregressive.corpus import Corpus, default_language, python_corpus
from synthetic.autoregressive.language import Autoregressive
from synthetic.autoregressive.modules import from_huggingface
from synthetic.autoregressive.ngram import NGram
from synthetic.autoregressive.ngram_language import NGramLanguage

__all__ = [
    "Autoregressive",
    "Corpus",
    "NGram",
    "NGramLanguage",
    "default_language",
    "from_huggingface",
    "python_corpus",
]
