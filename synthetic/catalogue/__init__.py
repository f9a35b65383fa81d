"""Languages by name: ready-made ones (`flatproof language`), those in files, and their pictures.

`registry`: ready-made languages with their parameters, and the families that files know
`files`: a language as JSON and npz
`drawing`: a language's structure as SVG
"""

from synthetic.catalogue.drawing import DrawingError, draw
from synthetic.catalogue.files import LanguageFileError, load, save
from synthetic.catalogue.registry import CatalogueError, entries, families, ready_made

__all__ = [
    "CatalogueError",
    "DrawingError",
    "LanguageFileError",
    "draw",
    "entries",
    "families",
    "load",
    "ready_made",
    "save",
]
