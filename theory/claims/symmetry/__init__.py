"""What flatness means when a network can be rescaled."""

ORDER = 4
"""Place of the chapter in the book."""
