"""A derivation to read: as text for a terminal, as a LaTeX fragment, as JSON; and a prediction."""

from theory.display.export import as_json, as_latex
from theory.display.text import as_text, prediction_as_text

__all__ = ["as_json", "as_latex", "as_text", "prediction_as_text"]
