"""Languages by name: ready-made ones (`flatproof language`), those in files, and their pictures.

`registry`: ready-made languages with their parameters, and the families that files know
`files`: a language as JSON and npz
`drawing`: a language's structure as SVG
`exchangeability`: how much of a language a bag of words explains
"""

from synthetic.catalogue.drawing import DrawingError, draw
from synthetic.catalogue.exchangeability import Exchangeability, exchangeability
from synthetic.catalogue.files import LanguageFileError, load, save
from synthetic.catalogue.registry import CatalogueError, entries, families, ready_made

__all__ = [
    "CatalogueError",
    "DrawingError",
    "Exchangeability",
    "LanguageFileError",
    "draw",
    "entries",
    "exchangeability",
    "families",
    "load",
    "ready_made",
    "save",
]
