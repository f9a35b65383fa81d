"""The closing table: it fits 80 columns, says the verdict plainly and hides nothing."""

from dataclasses import replace

import pytest

from tests.verify.trial.test_evidence import design, evidence
from theory.claims import CLAIMS
from verify.statistics import enclosure
from verify.trial import Evidence, Measurement, Networks, Outlook, Reported, report
from verify.trial.decision import decide
from verify.trial.evidence import ControlOutcome
from verify.trial.report import WIDTH, markdown, measured, table

OUTLOOKS = {"same-loss-different-transfer": Outlook(figure="a figure", would_change="more")}


def measurement(estimate: float, error: float) -> Measurement:
    return Measurement.of(decide(design(), enclosure(estimate, error)), {}, None)


def test_lines_fit_80_columns() -> None:
    long = replace(evidence(), claim="sgd-reaches-flattest", designs=(design("s" * 100),))
    long = replace(long, measurements=tuple(replace(m, statistic="s" * 100) for m in long.measurements))
    assert all(len(line) <= WIDTH for line in table([evidence(), long], ["plateau"]))


@pytest.mark.parametrize(
    ("estimate", "error", "shown"),
    [
        (1.0, 0.012, "1.000 [0.988, 1.012]"),
        (0.25001, 0.0004, "0.25001 [0.24961, 0.25041]"),
        (12.3, 1.5, "12.3 [10.8, 13.8]"),
        (0.0, 1e-12, "0.00000 [0.00000, 0.00000]"),
    ],
)
def test_an_interval_is_shown_to_two_digits_of_its_half_width(estimate: float, error: float, shown: str) -> None:
    assert measured(measurement(estimate, error)) == shown


def test_refuted_missed_and_unfinished_are_loud() -> None:
    missed = ControlOutcome("missed", "nothing", measurement(1.0, 0.01))
    bad = replace(evidence(), verdict="refuted", controls=(*evidence().controls, missed))
    text = "\n".join(table([bad], ["plateau"]))
    assert "REFUTED" in text
    assert "1/2" in text
    assert any("plateau" in line and "no verdict" in line for line in text.splitlines())


def test_the_readme_has_a_table_of_solvable_models_and_one_of_trained_networks() -> None:
    outlooks = {item.claim: Outlook(finding="In plain words.") for item in (evidence(), by_language())}
    tables = [part.splitlines() for part in markdown([evidence(), by_language()], outlooks).split("\n\n")]
    assert [len(rows) for rows in tables] == [3, 3]
    assert len({row.count("|") for rows in tables for row in rows}) == 1
    for rows, item, place in zip(tables, (evidence(), by_language()), ("", " (pcfg, small)"), strict=True):
        claim = CLAIMS[item.claim]
        link = f"[{claim.title}](paper_notes/{claim.chapter}/{claim.module}.md)"
        assert rows[2].startswith(f"| {link} | In plain words. | 1 | 0.1 | ")
        assert f"]{place} | supported | 1/1 |" in rows[2]


def by_language() -> Evidence:
    found = tuple(
        replace(m, networks=Networks(language=language, scale="small", replicates=46))
        for language, m in zip(("hmm", "pcfg"), [measurement(1.0, 0.01), measurement(1.5, 0.01)], strict=True)
    )
    design_ = replace(design(), instances=2)
    return replace(evidence(), claim="same-loss-different-transfer", measurements=found, designs=(design_,))


def test_a_claim_about_languages_has_a_line_for_each_and_a_long_name_one_of_its_own() -> None:
    lines = table([by_language()])
    assert lines[2] == "same-loss-different-transfer"
    assert sum(", small" in line for line in lines) == 2
    assert any("pcfg" in line and "REFUTED" in line for line in lines)
    assert all(len(line) <= WIDTH for line in lines)


def test_stored_evidence_is_starred_and_dated() -> None:
    lines = table([evidence(), by_language()], stored={by_language().claim})
    assert sum("*" in line for line in lines) == 2
    assert lines[-1].startswith(f"* measured {evidence().date[:10]} at profile")


def at_scale(scale: str) -> Evidence:
    item = by_language()
    found = tuple(replace(m, networks=replace(networks, scale=scale)) for m, networks in item.about_networks)
    return replace(item, measurements=found, date="2026-02-02T00:00:00+00:00")


def test_evidence_of_another_scale_is_shown_starred_beside_that_of_the_run() -> None:
    here = by_language()
    lines = table([here], elsewhere={here.claim: [at_scale("medium")]})
    assert [line.split("[")[0].split(",")[0].strip() for line in lines[5:9]] == ["hmm", "pcfg", "hmm", "pcfg"]
    assert [line.endswith("*") for line in lines[5:9]] == [False, False, True, True]
    assert lines[-1].startswith("* measured 2026-02-02")
    assert all(len(line) <= WIDTH for line in lines)


def test_verdicts_by_language_of_two_scales_are_one_claim() -> None:
    shown = report.by_language([evidence(), by_language(), by_language(), at_scale("medium")], OUTLOOKS)
    rows = shown.split("\n\n")[0].splitlines()
    assert len(rows) == 2 + 2 + 2
    assert sum("same-loss" in row for row in rows) == 1
    assert len({row.count("|") for row in rows}) == 1
    assert "REFUTED" in rows[3]


def test_further_evaluations_have_a_column_each_and_no_verdict() -> None:
    item = by_language()
    shown = (
        {
            "many labels": Reported(0.12345, 0.11145, 0.13545),
            "fine-tuning": Reported(-0.0001, -0.0005, 0.0003),
        },
        {"masked states": Reported(0.5, 0.48, 0.52)},
    )
    measured = tuple(
        replace(m, networks=replace(networks, evaluations=own))
        for (m, networks), own in zip(item.about_networks, shown, strict=True)
    )
    rows = report.further_evaluations([evidence(), replace(item, measurements=measured)]).strip().splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert rows[0].split(" | ")[3:6] == ["many labels", "fine-tuning", "masked states"]
    assert "| 0.123 ± 0.012 | -0.00010 ± 0.00040 |  |" in rows[2]
    assert "|  |  | 0.500 ± 0.020 |" in rows[3]
    assert not any(verdict in "".join(rows).lower() for verdict in ("supported", "refuted", "inconclusive"))


def test_without_further_evaluations_there_is_no_table_of_them() -> None:
    assert report.further_evaluations([evidence(), by_language()]) == ""


def test_verdicts_by_language_show_the_figure_once_and_then_by_claim_what_would_change_them() -> None:
    claim = CLAIMS[by_language().claim]
    verdicts, changes = report.by_language([evidence(), by_language()], OUTLOOKS).split("\n\n")
    assert verdicts.splitlines()[2].split(" | ")[1] == "a figure"
    assert verdicts.count("a figure") == 1
    assert changes.splitlines()[2:] == [f"| [`{claim.id}`](same_loss_different_transfer.md) | {claim.source} | more |"]


NETWORKS = Networks(language="hmm", scale="small", replicates=46)


def one_sided(estimate: float, error: float, side: str = "lower", delta: float = 1.0) -> Evidence:
    target = 1.0 if side == "lower" else -1.0
    declared = replace(design(target=target), side=side, delta=delta, instances=1)
    found = Measurement.of(decide(declared, enclosure(estimate, error)), {}, None, NETWORKS)
    return replace(by_language(), measurements=(found,), designs=(declared,))


@pytest.mark.parametrize(
    ("item", "word"),
    [
        (one_sided(0.7, 0.5), "> 0"),
        (one_sided(1.2, 0.5), "> 0"),
        (one_sided(-0.7, 0.5, "upper"), "< 0"),
        (one_sided(-1.2, 0.5, "upper"), "< 0"),
        (one_sided(0.9, 0.2, delta=0.5), "supported"),
        (one_sided(0.7, 0.9), "INCONCLUSIVE"),
        (one_sided(0.5, 0.1), "REFUTED"),
    ],
)
def test_a_design_that_can_show_no_more_than_the_sign_says_so(item: Evidence, word: str) -> None:
    verdicts, *rest = report.by_language([item], OUTLOOKS).split("\n\n")
    assert verdicts.splitlines()[-1].split(" | ")[-2] == word
    legend = [part for part in rest if part.startswith((f"{report.POSITIVE}:", f"{report.NEGATIVE}:"))]
    assert [part[:3] for part in legend] == [f"{word}:"[:3]] * ("0" in word)
    lines = table([item], stored={item.claim}, elsewhere={item.claim: [item]})
    assert [line.split("]")[1].strip() for line in lines if ", small" in line] == [word, word + "*"]
    assert sum("only its sign" in line for line in lines) == len(legend)
    assert all(len(line) <= WIDTH for line in lines)


@pytest.mark.parametrize(("side", "edge"), [("lower", "> 0.9"), ("upper", "< 1.1")])
def test_a_one_sided_claim_says_from_where_on_it_is_supported(side: str, edge: str) -> None:
    item = replace(evidence(), designs=(replace(design(), side=side),))
    outlooks = {item.claim: Outlook(finding="In plain words.")}
    assert f"| 0.1 (needs {edge}) |" in markdown([item], outlooks)
    assert table([item])[3].endswith(f", needs {edge}")
    assert decide(item.designs[0], enclosure(1.0, 0.0999)).equivalent
    assert not decide(item.designs[0], enclosure(1.0, 0.1001)).equivalent


def test_every_statistic_has_its_margin() -> None:
    lines = table([evidence(), by_language()])
    assert sum(line.endswith(", δ = 0.1") for line in lines) == 2
