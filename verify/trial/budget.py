"""The false-alarm budget of one run of the suite, split over the registered claims."""

from __future__ import annotations

from dataclasses import dataclass

SUITE_FALSE_ALARM = 1e-3
"""Probability that one run of the whole suite refutes any true claim, at most."""


@dataclass(frozen=True)
class Budget:
    """The suite's false-alarm probability, split evenly over the claims of the registry, by the union bound.

    It counts the registry, not the tests that happen to run, so a verdict does not depend on the selection.

    Raises:
        ValueError: if there are no claims, or a claim appears twice.
    """

    claims: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.claims or len(set(self.claims)) != len(self.claims):
            raise ValueError(f"expected distinct claim ids, got {self.claims}; pass the ids of the whole registry")

    def alpha(self, claim: str, designs: int = 1) -> float:
        """Level of each of the `designs` designs of one claim: 1e-3 / (claims · designs).

        Raises:
            ValueError: if the claim is not registered or `designs` < 1.
        """
        if claim not in self.claims:
            raise ValueError(f"expected a registered claim, got {claim!r}; valid ids: {', '.join(self.claims)}")
        if designs < 1:
            raise ValueError(f"expected designs ≥ 1, got {designs}; count the designs that can refute the claim")
        return SUITE_FALSE_ALARM / len(self.claims) / designs
