"""The closing table: it fits 80 columns, says the verdict plainly and hides nothing."""

from dataclasses import replace

import pytest

from tests.verify.test_evidence import design, evidence
from verify.decision import decide
from verify.evidence import ControlOutcome, Measurement
from verify.report import WIDTH, markdown, measured, table
from verify.statistics import enclosure


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
        (0.0, 1e-12, "0.00000 [-0.00000, 0.00000]"),
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


def test_markdown_has_a_row_for_each_claim() -> None:
    rows = markdown([evidence()]).strip().splitlines()
    assert len(rows) == 3
    assert len({row.count("|") for row in rows}) == 1
    assert "(paper_notes/product_model.md)" in rows[2]
