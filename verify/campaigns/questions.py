"""What is asked of the rows of a campaign: designs that its file declares before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synthetic.typed import TypedDataError, build
from theory.claims import CLAIMS
from verify.campaigns.grid import Campaign, CampaignError
from verify.cohorts.designs import SKEW_ALLOWANCE
from verify.trial import Design

Statistic = Literal["gain", "log trace ratio", "rank correlation"]

LEVEL = 1e-3
"""Probability that any answer of one campaign contradicts the truth, at most: split evenly over all answers."""

POWER = 0.9

FEWEST = 4
"""Conditions that can be ranked: ranks of three are determined by a third variable or free of it."""

MEASURES = {
    "trace": "tr F",
    "invariant": "Σθ²F",
    "roots": "tr Diag(F)^{1/2}",
    "orbit_trace": "the least tr F of the orbit",
}
"""What may be ranked: columns of the rows, in words."""

WORDS = {
    "gain": "accuracy, {} − {}",
    "log trace ratio": "ln(tr F, {} ÷ {})",
    "rank correlation": "mean Spearman ρ of {} with accuracy inside replicates",
}


@dataclass(frozen=True)
class Question:
    """One statistic, at every dose, of every family and at every point of the grid.

    Attributes:
        claim: id of the claim that it measures.
        statistic: gain: accuracy of the first condition minus that of the second. log trace ratio: ln(tr F of the first
            ÷ tr F of the second). rank correlation: Spearman's ρ inside a replicate of a measure with accuracy, given
            the excess, over the second condition and all that the campaign has of the first up to this dose.
        first: one condition; several where they are ranked.
        second: a condition; at the dose, if the campaign has it so, and else without one.
        target: the smallest effect of interest.
        margin: δ; as large as the target where the claim is about a sign and the target a bound to be refuted.
        side: whether the claim is ≥ target (lower) or ≤ target (upper).
        spread: standard deviation of a replicate, for planning, from pilots at other root seeds.
        doses: steps of the conditions; none where they have no dose.
        measure: column of the rows that is ranked, one of `MEASURES`.
        broken: the hypothesis that is broken, of a control; empty for a claim's own.

    Raises:
        CampaignError: a claim or measure is unknown, the conditions do not suit the statistic, or doses do not rise.
    """

    claim: str
    statistic: Statistic
    first: tuple[str, ...]
    second: str
    target: float
    margin: float
    side: Literal["lower", "upper"]
    spread: float
    doses: tuple[int, ...] = ()
    measure: str = "trace"
    broken: str = ""

    def __post_init__(self) -> None:
        if self.claim not in CLAIMS:
            raise CampaignError(f"claim: expected the id of a claim, got {self.claim!r}")
        if self.measure not in MEASURES:
            raise CampaignError(f"measure: expected one of {', '.join(MEASURES)}, got {self.measure!r}")
        ranked = self.statistic == "rank correlation"
        if not self.first or (len(self.first) > 1) != ranked:
            expected = "two conditions or more to rank" if ranked else "one condition"
            raise CampaignError(f"first: expected {expected} for a {self.statistic}, got {list(self.first)}")
        if list(self.doses) != sorted(set(self.doses)):
            raise CampaignError(f"doses: expected rising doses, got {list(self.doses)}")

    @property
    def words(self) -> str:
        """The statistic in words."""
        about = (MEASURES[self.measure],) if self.statistic == "rank correlation" else (*self.first, self.second)
        return WORDS[self.statistic].format(*about)

    def conditions(self, campaign: Campaign, dose: int | None) -> list[str]:
        """Return the conditions that are compared at a dose, the second one last.

        Raises:
            CampaignError: the campaign does not have one of them, or too few to rank.
        """
        firsts = [_at(name, dose) for name in self.first]
        if self.statistic == "rank correlation":
            firsts = [name for name in campaign.conditions if self._is_ranked(name, dose)]
        second = _at(self.second, dose)
        found = [*firsts, second if second in campaign.conditions else self.second]
        if missing := [name for name in found if name not in campaign.conditions]:
            known = ", ".join(campaign.conditions)
            raise CampaignError(f"conditions: expected some of {known}, got {missing[0]!r}")
        if self.statistic == "rank correlation" and len(found) < FEWEST:
            raise CampaignError(f"conditions: expected {FEWEST} or more to rank given the excess, got {found}")
        return found

    def _is_ranked(self, name: str, dose: int | None) -> bool:
        kind, _, steps = name.partition("@")
        return kind in self.first and (dose is None or not steps or int(steps) <= dose)

    def design(self, campaign: Campaign, alpha: float) -> Design:
        """Return the design of an answer, the same at every dose, in every family and at every point of the grid."""
        scale = campaign.scale_at(campaign.points[0])
        return Design(
            claim=self.claim,
            prediction=f"at the same excess loss, {self.words} {'≥' if self.side == 'lower' else '≤'} {self.target:g}",
            statistic=self.words,
            bound="student-t",
            spread=self.spread,
            justification="A replicate is a random language with its own networks, as in the claim's own design, and "
            f"so is the level asked for, a {SKEW_ALLOWANCE:g}th. Spread: pilots at root seeds from 9000 on.",
            target=self.target,
            delta=self.margin,
            delta_refute=self.margin,
            alpha=alpha,
            power=POWER,
            n=scale.members * len(campaign.root_seeds),
            side=self.side,
        )


def _at(name: str, dose: int | None) -> str:
    return name if dose is None else f"{name}@{dose}"


def questions(campaign: Campaign) -> list[tuple[Question, Design]]:
    """Return the questions of a campaign, each with its design.

    Raises:
        CampaignError: one cannot be asked of the campaign; the message names the place.
    """
    if "members" in campaign.vary:
        raise CampaignError("vary.members: expected as many replicates everywhere, where questions are asked")
    found = []
    for number, own in enumerate(campaign.question):
        try:
            found.append(build(Question, own))
            for dose in found[-1].doses or (None,):
                found[-1].conditions(campaign, dose)
        except (TypedDataError, CampaignError) as error:
            raise CampaignError(f"question {number}: {error}") from error
    places = len(campaign.families) * len(campaign.points)
    answers = places * sum(max(1, len(question.doses)) for question in found)
    return [(question, question.design(campaign, LEVEL / answers / SKEW_ALLOWANCE)) for question in found]
