"""The forest plot shows the evidence as it is, and the committed picture is that of the stored evidence."""

import importlib.metadata
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from theory.claims import CLAIMS
from verify.cli.main import main
from verify.trial import Evidence, plots, read
from verify.trial.report import worded

ROOT = Path(__file__).parents[3]
STORED = ROOT / "verify" / "evidence" / "default-cpu.jsonl"


@pytest.fixture(scope="module")
def evidence() -> list[Evidence]:
    return list(read(STORED))


def test_the_committed_picture_is_that_of_the_stored_evidence(tmp_path: Path) -> None:
    pinned = re.search(r"^matplotlib==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert pinned is not None
    try:
        found = importlib.metadata.version("matplotlib")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pictures need the extra `draw`")
    if found != pinned[1]:
        pytest.skip(f"the picture was drawn by matplotlib {pinned[1]}; {found} may write other bytes")
    assert main(["report", "--figure", str(tmp_path / "claims.svg")]) == 0
    drawn = (tmp_path / "claims.svg").read_text(encoding="utf-8")
    assert drawn == (ROOT / "paper_notes" / "claims.svg").read_text(encoding="utf-8")
    assert len(drawn.encode()) < 150_000


def test_every_interval_is_drawn_where_its_measurement_says(evidence: list[Evidence]) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `draw`")
    figure = plots.forest(evidence)
    drawn = {tuple(np.asarray(line.get_xdata()).tolist()) for line in figure.axes[0].get_lines()}
    rows = plots.rows(reversed(evidence))
    assert [row.evidence.claim for row in rows] == list(CLAIMS)
    for row in rows:
        for bar in (row.headline, *row.others):
            ends = (max(bar.low, -plots.REACH), min(bar.high, plots.REACH))
            assert ends in drawn or ends[0] >= ends[1]
        own = [m for m in row.evidence.measurements if m.statistic == row.evidence.headline_design.statistic]
        assert len(own) == 1 + len(row.others)
    texts = {text.get_text() for text in figure.axes[0].texts}
    verdicts = {worded(row.evidence.verdict, row.evidence.headline_design) for row in rows}
    assert {word.lower() for word in verdicts} <= texts


@pytest.mark.parametrize(
    ("side", "expected"), [("two", (0.5, -2.0, 1.0)), ("lower", (0.5, -2.0, 1.0)), ("upper", (-0.5, -1.0, 2.0))]
)
def test_a_departure_in_margins_is_turned_so_that_more_than_claimed_is_right(
    evidence: list[Evidence], side: str, expected: tuple[float, float, float]
) -> None:
    design = replace(evidence[0].designs[0], side=side, delta=0.25)
    m = replace(evidence[0].measurements[0], target=1.0, estimate=1.125, low=0.5, high=1.25)
    assert plots.Bar.of(m, design) == plots.Bar(*expected)


def test_what_cannot_be_drawn_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, evidence: list[Evidence]
) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `draw`")
    with pytest.raises(plots.PlotError, match="at least one claim"):
        plots.forest([])
    assert main(["report", "--figure", str(tmp_path / "claims.docx")]) == 2
    assert "docx" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(plots.PlotError, match="flatproof\\[draw\\]"):
        plots.forest(evidence)
