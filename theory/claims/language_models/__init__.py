"""The paper's claims about trained networks, with what can be proved of each."""

ORDER = 5
"""Place of the chapter in the book."""
