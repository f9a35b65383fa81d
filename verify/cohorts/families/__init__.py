"""Families of random languages: the population that an empirical claim is about, one downstream task each.

`family`: what a family is
`languages`: small ones, mixtures of them, larger ones, the paper's
`symmetries`: small ones that a bag of words explains more or less of
"""

from collections.abc import Mapping
from types import MappingProxyType

from verify.cohorts.families.family import LEARNABLE, Family
from verify.cohorts.families.languages import AUTHORS_GRAMMAR, LARGER, MIXTURES, SMALL, NoGrammarError
from verify.cohorts.families.symmetries import LATER, PLACES, SYMMETRIES

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.name: family for family in (*SMALL, *MIXTURES, *SYMMETRIES, *LATER, *PLACES, *LARGER)}
)
"""By name."""

__all__ = [
    "AUTHORS_GRAMMAR",
    "FAMILIES",
    "LATER",
    "LEARNABLE",
    "MIXTURES",
    "PLACES",
    "SMALL",
    "SYMMETRIES",
    "Family",
    "NoGrammarError",
]
