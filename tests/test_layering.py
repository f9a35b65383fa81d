"""Property tests of the layers: theory and synthetic stand alone, theory without torch, verify may use both."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {"theory": {"torch", "synthetic", "verify"}, "synthetic": {"theory", "verify"}}


def imported(source: str) -> set[str]:
    """Top-level names of everything a module imports, inside functions as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"__import__", "importlib.import_module"}:
            found.add(ast.unparse(node.args[0]).strip("'\"").partition(".")[0])
    return found


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_property_no_module_imports_a_forbidden_layer(package: str) -> None:
    assert len(modules(package)) > 5
    offenders = {str(path): imported(path.read_text()) & FORBIDDEN[package] for path in modules(package)}
    assert not {path: names for path, names in offenders.items() if names}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_property_importing_everything_loads_no_forbidden_layer(package: str) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in modules(package)
    ]
    code = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in run.stdout.split()} & FORBIDDEN[package]


@pytest.mark.parametrize(
    "source",
    ["import torch.nn", "def f():\n    from torch import Tensor", "__import__('torch')", "import os, torch as t"],
)
def test_mutant_hidden_imports_are_seen(source: str) -> None:
    assert "torch" in imported(source)
