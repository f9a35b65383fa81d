"""How many labels the flattest features need, and how many the others."""

ORDER = 3
"""Place of the chapter in the book."""
