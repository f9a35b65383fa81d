"""Which minimum is the flattest, and whether SGD finds it."""

ORDER = 2
"""Place of the chapter in the book."""
