"""Every example in a docstring of the package runs as shown."""

import doctest
import importlib
import pkgutil

import pytest

import synthetic

MODULES = [info.name for info in pkgutil.walk_packages(synthetic.__path__, "synthetic.")]
WITH_EXAMPLES = {
    f"synthetic.{name}"
    for name in (
        *("closed_form.brackets", "closed_form.pairs", "closed_form.table", "closed_form.walks", "hmm.language"),
        *("language", "sign_noise", "tokens"),
    )
}


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0 or name not in WITH_EXAMPLES
