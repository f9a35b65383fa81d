"""`flatproof language`: every ready-made language can be shown, saved and drawn; wrong requests say what is right."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthetic.catalogue import CatalogueError, entries, ready_made, save
from synthetic.closed_form import PairLanguage
from verify.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["language", *words])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    status, out, err = run(capsys, *words, "--json")
    assert status == 0, err
    loaded = json.loads(out)
    assert (loaded["schema"], loaded["verb"]) == (1, "language")
    return loaded["language"]


def test_without_a_name_it_lists_the_ready_made_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert [entry["name"] for entry in document(capsys)["languages"]] == list(entries())
    _, out, _ = run(capsys)
    assert all(name in out for name in entries())


@pytest.mark.parametrize("name", entries())
def test_every_ready_made_language_is_sampled_saved_and_read_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    path = tmp_path / "language.json"
    shown = document(capsys, name, "--sample", "3", "--save", str(path), "--seed", "4")
    assert len(shown["sentences"]) == 3
    assert shown["family"]
    assert path.is_file()
    again = document(capsys, str(path), "--sample", "3", "--seed", "4")
    assert again["sentences"] == shown["sentences"]


@pytest.mark.parametrize("name", entries())
def test_every_ready_made_language_has_a_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `draw`")
    shown = document(capsys, name, "--draw", str(tmp_path / "l.svg"))
    assert shown["picture"]["nodes"] > 1
    assert (tmp_path / "l.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_the_floor_says_whether_it_is_exact(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    floor = document(capsys, "pairs", "d=3", "alpha=0.5", "--floor")["floor"]
    assert floor == {"value": PairLanguage(3, 0.5).entropy_floor(), "exact": True}
    _, out, _ = run(capsys, "pairs", "d=3", "alpha=0.5", "--floor")
    assert f"L* = {floor['value']:.6f} nats per masked token (exact)" in out


def test_the_floor_of_a_large_language_is_an_estimate_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    floor = document(capsys, "hmm", "--floor")["floor"]
    assert floor["exact"] is False
    assert 0 < floor["standard_error"] < 0.1
    assert floor["n"] == 20_000
    _, out, _ = run(capsys, "hmm", "--floor")
    assert "from 20000 contexts" in out


def test_equal_seeds_draw_equal_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    first, again, other = (
        document(capsys, "pairs", "--sample", "20", "--seed", seed)["sentences"] for seed in ("1", "1", "2")
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["klingon"], "there is no ready-made language 'klingon'; there are brackets"),
        (["pairs", "e=3"], "pairs has no parameter 'e'; its parameters are d=4 alpha=1.5"),
        (["pairs", "d=three"], "d = 'three' is no int"),
        (["pairs", "d"], "not of the form name=value"),
        (["pairs", "d=3", "d=4"], "given twice"),
        (["pairs", "d=1"], "expected an integer d >= 2, got 1"),
        (["pairs", "--sample", "-1"], "negative"),
        (["nowhere.json"], "nowhere.json"),
        (["pairs", "--draw", "x.png"], "ending in .svg"),
    ],
)
def test_wrong_requests_say_what_is_right(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert message in err


def test_a_saved_language_takes_no_parameters(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save(PairLanguage(3, 1.0), tmp_path / "p.json")
    status, _, err = run(capsys, str(tmp_path / "p.json"), "d=3")
    assert status == 2
    assert "give no name=value" in err


def test_every_parameter_has_a_kind_that_text_is_read_as() -> None:
    for entry in entries().values():
        for parameter in entry.parameters.values():
            assert entry.parse({parameter.name: str(parameter.default)}) == {parameter.name: parameter.default}
    with pytest.raises(CatalogueError, match="there are brackets"):
        ready_made("none")
