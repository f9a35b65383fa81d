"""Every example in a docstring of the package runs as shown."""

import doctest
import importlib
import pkgutil

import pytest

import synthetic

MODULES = [info.name for info in pkgutil.iter_modules(synthetic.__path__, "synthetic.")]
WITH_EXAMPLES = {
    f"synthetic.{name}"
    for name in ("brackets", "hmm", "language", "noise", "pairs", "table", "tokens", "walks", "wide")
}


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0 or name not in WITH_EXAMPLES
