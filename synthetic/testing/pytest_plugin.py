"""A pytest fixture for those who write a language.

To use it: `pytest_plugins = ["synthetic.testing.pytest_plugin"]` in a conftest.

The test then reads `def test_it_conforms(language_conformance): language_conformance(MyLanguage(3))`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from synthetic.testing.conformance import ConformanceReport, conformance


@pytest.fixture
def language_conformance() -> Callable[..., ConformanceReport]:
    """Return `synthetic.testing.conformance`, which takes a language and raises ConformanceError if it fails."""
    return conformance
