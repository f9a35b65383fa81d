"""The documents say what the code says: table from evidence, one name per claim, links that lead somewhere."""

import math
import re
from pathlib import Path

import pytest

from theory.claims import CLAIMS
from verify.claims import outlooks
from verify.cohorts import SCALES
from verify.environment import SCALE_NAMES
from verify.trial import read
from verify.trial.report import by_language, further_evaluations, solvable_models, trained_networks

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "verify" / "evidence" / "default-cpu.jsonl"
STORED = (EVIDENCE, *(EVIDENCE.with_name(f"{scale}-cpu.jsonl") for scale in ("long", "medium")))
OUTLOOKS = outlooks()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("paper_notes/**/*.md"), *ROOT.glob("synthetic/**/*.md")])


def page_of(claim: str) -> str:
    return (ROOT / "paper_notes" / CLAIMS[claim].chapter / f"{CLAIMS[claim].module}.md").read_text(encoding="utf-8")


def test_the_tables_of_the_readme_are_generated_from_the_stored_evidence() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = {item.claim: item for item in read(EVIDENCE)}
    evidence = [found[claim] for claim in CLAIMS]
    shown = re.findall(r"<!-- table: .*? -->\n(.*?)<!-- end of table -->", text, re.DOTALL)
    assert shown == [solvable_models(evidence, OUTLOOKS), trained_networks(evidence, OUTLOOKS)]


def test_the_page_of_empirical_claims_is_generated_from_the_stored_evidence() -> None:
    text = (ROOT / "paper_notes" / "language_models" / "tables.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- table: .*? -->\n(.*?)<!-- end of table -->", text, re.DOTALL)
    assert shown is not None
    files = [{item.claim: item for item in read(path)} for path in STORED]
    evidence = [found[claim] for claim in CLAIMS for found in files if claim in found]
    assert tuple(SCALES) == SCALE_NAMES
    assert shown[1] == by_language(evidence, OUTLOOKS)


def test_the_table_of_further_evaluations_is_generated_from_the_stored_evidence() -> None:
    text = (ROOT / "paper_notes" / "language_models" / "tables.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- further evaluations: .*? -->\n(.*?)<!-- end of further evaluations -->", text, re.DOTALL)
    assert shown is not None
    files = [{item.claim: item for item in read(path)} for path in STORED]
    assert shown[1] == further_evaluations([found[claim] for claim in CLAIMS for found in files if claim in found])


def test_the_statement_of_an_empirical_claim_names_the_target_of_its_designs() -> None:
    for item in read(EVIDENCE):
        for design in item.designs:
            if any(m.statistic == design.statistic for m, _ in item.about_networks):
                number = r"\ln 0.9" if design.target == math.log(0.9) else f"{design.target:g}"
                assert number in CLAIMS[item.claim].statement


def test_stored_evidence_covers_every_claim_with_every_control_caught() -> None:
    evidence = {item.claim: item for item in read(EVIDENCE)}
    assert evidence.keys() == CLAIMS.keys()
    for item in evidence.values():
        assert item.profile == "default"
        assert item.verdict == OUTLOOKS[item.claim].expected
        assert item.status == CLAIMS[item.claim].status
        assert all(control.caught for control in item.controls)


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_is_three_files_with_one_name(claim: str) -> None:
    chapter, name = CLAIMS[claim].chapter, CLAIMS[claim].module
    assert (ROOT / "theory" / "claims" / chapter / f"{name}.py").is_file()
    assert (ROOT / "verify" / "claims" / chapter / f"test_{name}.py").is_file()
    assert page_of(claim).startswith(f"# {claim}\n")


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_page_of_a_claim_says_what_would_change_the_verdict(claim: str) -> None:
    told = re.search(
        r"^(?:## |\*\*)What would change the verdict(?:\n|\.\*\*)(.*?)(?=^## |^\*\*|\Z)",
        page_of(claim),
        re.DOTALL | re.M,
    )
    assert told is not None
    words = " ".join(told[1].split())
    assert len(words.split()) > 5
    assert OUTLOOKS[claim].would_change in words


def test_a_claim_about_languages_and_no_other_has_a_figure_of_its_source_and_a_way_to_change_its_verdict() -> None:
    for item in read(EVIDENCE):
        outlook, about_languages = OUTLOOKS[item.claim], bool(item.about_networks)
        assert bool(outlook.figure) == about_languages
        assert outlook.would_change.endswith(".") == about_languages
        assert outlook.finding.endswith(".")
        assert "|" not in outlook.finding + outlook.figure + outlook.would_change + CLAIMS[item.claim].source


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if OUTLOOKS[claim].figure])
def test_the_figure_of_a_claim_is_marked_for_what_it_is_and_stands_on_its_page(claim: str) -> None:
    figure = OUTLOOKS[claim].figure
    assert figure.endswith("second-hand") or ("none known" in figure and "ours" in figure)
    numbers = set(re.findall(r"\d+(?:\.\d+)?", figure))
    assert numbers <= set(re.findall(r"\d+(?:\.\d+)?", page_of(claim)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = r"`((?:theory|synthetic|verify|tests|paper_notes|benchmarks)/[\w/.-]+)`"
    for path in re.findall(named, page.read_text(encoding="utf-8")):
        assert "some_claim" in path or (ROOT / path).exists(), f"{page.name} names {path}"


def test_the_citation_is_of_this_version() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert version is not None
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version[1]} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_is_short_and_begins_with_what_was_found() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    words = re.sub(r"<!-- table.*?<!-- end of table -->", "", text, flags=re.DOTALL).split()
    assert len(words) <= 800
    assert 0 < text.index("**What was found.**") < text.index("](paper_notes/claims.svg)") < text.index("<!-- table")


@pytest.mark.parametrize("module", ["theory", "synthetic", "verify"])
def test_no_file_text_is_executed(module: str) -> None:
    forbidden = re.compile(
        r"(?<![\w.])(?<!def )(eval|exec)\(|\bpickle\b|\bsympify\([^)]*(read|text|line)|parse_expr|weights_only=False"
    )
    for path in (ROOT / module).rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert not forbidden.search(line.partition("#")[0]) or '"""' in line or "raise" in line, f"{path}:{number}"
