"""The gain by flatness against the symmetry of a language, over the families of a campaign, replicate by replicate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from verify.campaigns.answers import OPEN, Answer, Table, TableError
from verify.campaigns.grid import Campaign
from verify.campaigns.questions import LEVEL, POWER
from verify.cohorts.designs import SKEW_ALLOWANCE
from verify.cohorts.families import LATER, MIXTURES, SMALL, SYMMETRIES
from verify.cohorts.verdicts import mean
from verify.statistics import UndefinedCorrelationError, spearman
from verify.streams import stream_seed
from verify.trial import Design
from verify.trial.decision import decide, measure

CLAIM = "flatness-selects-symmetry"
FIRST, SECOND = "flat", "sharp"
HALVES: Mapping[str, tuple[str, ...]] = {
    "before": tuple(family.name for family in (*SMALL, *MIXTURES, *SYMMETRIES)),
    "after": tuple(family.name for family in LATER),
}
"""Families that were known when the index was fixed, and those that were written after it."""

RHO, GAIN = 0.2, 0.01
"""Smallest effects of interest. A replicate's gain scatters by 1 to 2 points about its family's, families by about one,
so that a perfect order of families would be a ρ of some 0.4 inside replicates."""

DEALS = 8
"""Times that a control deals values to languages, or gains to the two of a pair; their mean is taken."""

PAIRS = (("topics", "topics-renamed"), ("topics", "topics-no-places"))
"""The same topics with and without the symmetry; for networks that see the order and for some that cannot."""


ByFamily = Float[np.ndarray, "family replicate"]


@dataclass(frozen=True, eq=False)
class Finding:
    """What one design gives.

    Attributes:
        design: the design.
        answer: with its verdict.
        broken: the hypothesis that is broken, of a control.
    """

    design: Design
    answer: Answer
    broken: str = ""


def designs(campaign: Campaign) -> dict[str, Design]:
    """Return the designs by name: in both halves correlations of share, and of gap, with gain; differences of gains."""
    asked = []
    for half in HALVES:
        asked += [
            (half, f"mean Spearman ρ of bag share with gain, families {half} the index", RHO, 0.4),
            (f"{half}, given the gap", f"mean Spearman ρ of bag share with gain given the gap, {half}", RHO, 0.45),
            (f"{half}, gap", f"mean Spearman ρ of learnable gap with gain given the share, {half}", -RHO, 0.45),
        ]
    asked += [(f"{one} − {other}", f"gain, {one} − {other}", GAIN, 0.028) for one, other in PAIRS]
    return {
        name: Design(
            claim=CLAIM,
            prediction=f"at the same excess loss, {statistic} {'≥' if target > 0 else '≤'} {target:g}",
            statistic=statistic,
            bound="student-t",
            spread=spread,
            justification="A replicate is a member of every cohort of one root seed: a random language of each family "
            "with its own networks, independent of all others. Spread: of ρ of unrelated ranks, of gains in pilots at "
            f"root seeds from 9000 on. Student t is asked for a level {SKEW_ALLOWANCE:g} times smaller, for skewness.",
            target=target,
            delta=abs(target),
            delta_refute=abs(target),
            alpha=LEVEL / len(asked) / SKEW_ALLOWANCE,
            power=POWER,
            n=campaign.scale_at({}).members * len(campaign.root_seeds),
            side="lower" if target > 0 else "upper",
        )
        for name, statistic, target, spread in asked
    }


class Languages:
    """The rows of a campaign by family, all with the same replicates.

    Raises:
        TableError: a family lacks rows that another has, or all.
    """

    def __init__(self, campaign: Campaign, rows: Sequence[Mapping[str, Any]]) -> None:
        self.tables = {name: Table(row for row in rows if row["family"] == name) for name in campaign.families}
        first = self.tables[campaign.families[0]].replicates
        for name, table in self.tables.items():
            if table.replicates != first or not first:
                raise TableError(
                    f"expected the same replicates in every family, got {len(table.replicates)} of {name} and "
                    f"{len(first)} of {campaign.families[0]}; finish the campaign, or take rows of whole root seeds"
                )

    def column(self, name: str, families: Sequence[str]) -> ByFamily:
        """Return a column of the penalised networks."""
        return np.stack([self.tables[family].column(name, FIRST) for family in families])

    def share(self, families: Sequence[str]) -> ByFamily:
        """Return the shares that bags explain, equal where they differ by rounding."""
        return self.column("bag_share", families).round(9)

    def gain(self, families: Sequence[str]) -> ByFamily:
        """Return the accuracy of the penalised networks minus that of the rewarded ones."""
        columns = [
            np.subtract(*(self.tables[family].column("accuracy", name) for name in (FIRST, SECOND)))
            for family in families
        ]
        return np.stack(columns)

    def systematic(self, family: str) -> float:
        return self.tables[family].systematic("accuracy_slope", FIRST, SECOND)


def findings(campaign: Campaign, rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Give what every design finds, each followed by its control; open where replicates are missing."""
    found, declared = Languages(campaign, rows), designs(campaign)

    def finding(
        design: Design, values: Float[np.ndarray, " replicate"], systematic: float, broken: str = ""
    ) -> Finding:
        if len(values) < design.n:
            return Finding(design, Answer(None, 0.0, values, measure(design, values), systematic, OPEN), broken)
        result = decide(design, values, systematic=systematic)
        return Finding(design, Answer(None, 0.0, values, result.interval, systematic, result.verdict.value), broken)

    generator = np.random.default_rng(stream_seed(campaign.root_seeds[0], CLAIM, campaign.name, "controls"))
    for half, families in HALVES.items():
        share, gain = found.share(families), found.gain(families)
        gap = found.column("learnable_gap", families)
        for asked, ranked, given in (
            ("", share, None),
            (", given the gap", share, gap),
            (", gap", gap, share),
        ):
            design = declared[f"{half}{asked}"]
            yield finding(design, correlations(ranked, gain, given), 0.0)
            deals = [correlations(generator.permuted(ranked, axis=0), gain, given) for _ in range(DEALS)]
            yield finding(design, np.mean(deals, 0), 0.0, "a replicate's values are dealt to its languages at random")
    for one, other in PAIRS:
        design, gains = declared[f"{one} − {other}"], found.gain((one, other))
        allowed = found.systematic(one) + found.systematic(other)
        yield finding(design, gains[0] - gains[1], allowed)
        signs = generator.choice([-1.0, 1.0], (DEALS, len(gains[0]))).mean(0)
        broken = "which of the two is which is drawn at random, for every replicate"
        yield finding(design, signs * (gains[0] - gains[1]), allowed, broken)


def correlations(x: ByFamily, y: ByFamily, given: ByFamily | None = None) -> Float[np.ndarray, " replicate"]:
    """Return Spearman's ρ over families of every replicate; 0, its mean over ways to break ties, without ranks."""
    found = []
    for number in range(x.shape[1]):
        try:
            found.append(spearman(x[:, number], y[:, number], None if given is None else given[:, number]))
        except UndefinedCorrelationError:
            found.append(0.0)
    return np.array(found)


def markdown(campaign: Campaign, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of families, by bag share, with 95% intervals of gains, and what every design finds."""
    found = Languages(campaign, rows)
    names = sorted(campaign.families, key=lambda name: float(found.column("bag_share", [name]).mean()))
    lines = ["| language | bag share | learnable gap | gain, points |", "|---|---|---|---|"]
    for name in names:
        share, gap = (found.column(what, [name]).mean() for what in ("bag_share", "learnable_gap"))
        gain = mean(torch.from_numpy(100 * found.gain([name])[0]))
        lines.append(f"| {name} | {share:.2f} | {gap:.2f} | {gain.value:+.2f} [{gain.low:.2f}, {gain.high:.2f}] |")
    over = [spearman(found.share(half).mean(1), found.gain(half).mean(1)) for half in HALVES.values()]
    lines += ["", f"ρ over the families' means: {over[0]:+.2f} before the index, {over[1]:+.2f} after it.", ""]
    lines += ["| statistic | control | mean [interval] | verdict |", "|---|---|---|---|"]
    for each in findings(campaign, rows):
        answer = each.answer
        interval = f"{answer.interval.estimate:+.3f} [{answer.low:.3f}, {answer.high:.3f}]"
        lines.append(f"| {each.design.statistic} | {each.broken} | {interval} | {answer.verdict} |")
    return "\n".join(lines)
