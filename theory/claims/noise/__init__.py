"""The noise of sampled labels, and what it does to SGD on the minimisers."""

ORDER = 1
"""Place of the chapter in the book."""
