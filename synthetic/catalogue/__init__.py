"""Languages by name: ready-made ones (`flatproof language`), those in files, and their pictures.

`ready_made`: languages by name with parameters
`registry`: the families that files know
`files`: a language as JSON and npz
`drawing`: a language's structure as SVG
"""

from synthetic.catalogue.drawing import DrawingError, draw
from synthetic.catalogue.files import LanguageFileError, load, save
from synthetic.catalogue.ready_made import CATALOGUE, CatalogueError, find

__all__ = ["CATALOGUE", "CatalogueError", "DrawingError", "LanguageFileError", "draw", "find", "load", "save"]
