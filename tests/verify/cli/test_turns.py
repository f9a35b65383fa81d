"""`flatproof map`: the page is what it prints, and rows elsewhere make a page, a picture and a document."""

import json
from pathlib import Path

import pytest

from tests.verify.campaigns.test_by_language import CAMPAIGN as SYMMETRY
from tests.verify.campaigns.test_by_language import planted
from tests.verify.campaigns.test_questions import CAMPAIGN, rows
from verify.campaigns import shipped
from verify.campaigns.by_language import markdown
from verify.cli.main import main

PAGE = Path(__file__).parents[3] / "paper_notes" / "language_models" / "where_it_turns.md"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    table = rows()
    lines = [",".join(table[0]), *(",".join(map(str, row.values())) for row in table)]
    (tmp_path / "written.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "written.toml").touch()
    monkeypatch.setattr(shipped, "FILES", tmp_path)
    monkeypatch.setattr(shipped, "load", lambda path: CAMPAIGN)
    return tmp_path


def test_the_page_is_generated_from_the_rows_that_come_with_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(encoding="utf-8")


def test_rows_of_a_folder_make_a_page_and_pictures(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "--rows", str(written), "--figures", str(written / "pictures")]) == 0
    assert "(turns_written.svg)" in capsys.readouterr().out
    first = (written / "pictures" / "turns_written.svg").read_bytes()
    assert main(["map", "--rows", str(written), "--figures", str(written / "pictures"), "--json"]) == 0
    assert (written / "pictures" / "turns_written.svg").read_bytes() == first
    found = json.loads(capsys.readouterr().out)["map"]
    assert [len(own["answers"]) for own in found] == [3, 3, 2]
    assert found[0]["trend"]["word"] == "rising"
    assert found[2]["trend"] is None
    assert found[1]["answers"][0] | {"estimate": 0, "low": 0, "high": 0} == {
        "dose": 100,
        "slow_time": 0.5,
        "replicates": 40,
        "estimate": 0,
        "low": 0,
        "high": 0,
        "verdict": "supported",
    }


def test_the_table_by_language_needs_the_rows_of_its_campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["map", "--languages", "--rows", str(tmp_path)]) == 2
    assert "finish the campaign" in capsys.readouterr().err
    table = list(planted(0.05, cohorts=1))
    lines = [",".join(table[0]), *(",".join(map(str, row.values())) for row in table)]
    (tmp_path / "symmetry.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["map", "--languages", "--rows", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{markdown(SYMMETRY, table)}\n"
    assert main(["map", "--languages", "--rows", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["map"] == markdown(SYMMETRY, table)


def test_error_rows_that_lack_a_column(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written / "written.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("accuracy_slope", "slope"), encoding="utf-8")
    assert main(["map", "--rows", str(written)]) == 2
    assert "column accuracy_slope of condition sampled@100" in capsys.readouterr().err
