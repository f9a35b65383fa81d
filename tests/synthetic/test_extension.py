"""The worked example of a language of one's own runs as documented and stays short."""

import doctest
from pathlib import Path

import synthetic.language
from synthetic import Language
from synthetic.testing import ConformanceReport


def test_own_language_takes_at_most_thirty_lines_and_conforms() -> None:
    source = synthetic.language.__doc__
    assert source is not None
    example = doctest.DocTestParser().get_doctest(source, {}, "own language", None, 0)
    lines = [line for part in example.examples for line in part.source.splitlines()]
    assert len(lines) <= 30
    assert any("conformance(language)" in line for line in lines)
    result = doctest.DocTestRunner().run(example, clear_globs=False)
    assert (result.failed, result.attempted) == (0, len(example.examples))
    language = example.globs["language"]
    assert isinstance(language, Language)
    report = example.globs["conformance"](language)
    assert isinstance(report, ConformanceReport)
    # No downstream task is the only thing that a minimal language leaves unchecked.
    assert set(report.skipped) <= {"downstream tasks"}


def test_the_guide_to_adding_a_family_runs_as_written() -> None:
    guide = Path(synthetic.language.__file__).with_name("adding_a_family.md")

    result = doctest.testfile(str(guide), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted > 25
