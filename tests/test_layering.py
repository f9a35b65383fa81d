"""Property tests of the house: which layer and which room may import from which, and how many rooms a floor has."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {"theory": {"torch", "synthetic", "verify"}, "synthetic": {"theory", "verify"}, "verify": {"tests"}}
ENTRIES = 16
"""Modules and packages that a package may have beside its front."""


def imported(source: str) -> set[str]:
    """All that a module imports, inside functions as well: `a.b.c` both for `import a.b.c` and `from a.b import c`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"__import__", "importlib.import_module"}:
            found.add(ast.unparse(node.args[0]).strip("'\""))
    return found


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for package in FORBIDDEN for path in sorted((ROOT / package).rglob("*.py"))}
PACKAGES = {name: path.parent for name, path in MODULES.items() if path.name == "__init__.py"}
TARGETS = {name: imported(path.read_text()) for name, path in MODULES.items()}


def arrows() -> Iterator[tuple[str, str]]:
    """From each module to every module of the project that it imports, a package standing for its front."""
    for name, targets in TARGETS.items():
        for target in targets:
            module = target if target in MODULES else target.rpartition(".")[0]
            if module in MODULES and module != name:
                yield name, module


def room(module: str) -> str:
    """The package on the first floor (in `claims`: the chapter) that a module lies in; itself if it lies in none."""
    parts = module.split(".")
    return ".".join(parts[: 3 if parts[1:2] == ["claims"] and (module in PACKAGES or len(parts) > 3) else 2])


def circles(graph: nx.DiGraph) -> list[list[str]]:
    return [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_property_no_module_imports_a_forbidden_layer(package: str) -> None:
    own = {name: targets for name, targets in TARGETS.items() if name.partition(".")[0] == package}
    assert len(own) > 5
    offenders = {name: {target.partition(".")[0] for target in own[name]} & FORBIDDEN[package] for name in own}
    assert not {name: layers for name, layers in offenders.items() if layers}


@pytest.mark.parametrize("package", ["theory", "synthetic"])
def test_property_importing_everything_loads_no_forbidden_layer(package: str) -> None:
    names = [name for name in MODULES if name.partition(".")[0] == package]
    code = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in run.stdout.split()} & FORBIDDEN[package]


def test_property_no_module_imports_itself_in_a_circle() -> None:
    assert not circles(nx.DiGraph(arrows()))


def test_property_no_package_imports_itself_in_a_circle() -> None:
    rooms = ((room(source), room(target)) for source, target in arrows())
    assert not circles(nx.DiGraph(arrow for arrow in rooms if arrow[0] != arrow[1] and arrow[1] not in FORBIDDEN))


def test_property_private_modules_and_names_stay_in_their_package() -> None:
    offenders = {
        (name, target)
        for name, targets in TARGETS.items()
        for target in targets
        for k, part in enumerate(target.split("."))
        if part.startswith("_") and target.split(".")[0] in FORBIDDEN and part != "__version__"
        if name.split(".")[:k] != target.split(".")[:k]
    }
    assert not offenders


@pytest.mark.parametrize("package", PACKAGES)
def test_property_every_package_has_a_front_and_few_entries(package: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[package].read_text()))
    entries = {name for name in MODULES if name.rpartition(".")[0] == package} - {"verify.__main__", "verify.conftest"}
    assert len(entries) <= ENTRIES, sorted(entries)
    orphans = {path for path in PACKAGES[package].rglob("*.py") if dotted(path.parent / "__init__.py") not in PACKAGES}
    assert not orphans, "a folder of modules needs an __init__.py"


def test_property_every_package_says_that_it_is_typed() -> None:
    assert all((ROOT / package / "py.typed").is_file() for package in FORBIDDEN)


_FOUND = """
import sys, theory.claims
theory.claims.__path__.append(sys.argv[1])
import theory.claims.weather.rain as rain
found = theory.claims.register(theory.claims._discover())
assert found["rain"] is rain.CLAIM and len(found) == len(theory.claims.CLAIMS) + 1
assert rain.CLAIM.chapter == "weather" and list(found)[-1] == "rain"
"""


def test_a_claim_is_found_by_being_there(tmp_path: Path) -> None:
    chapter = tmp_path / "weather"
    chapter.mkdir()
    (chapter / "__init__.py").write_text("ORDER = 99\n")
    (chapter / "lemma.py").write_text("CLOUDS = 1\n")
    source = MODULES["theory.claims.noise.slow_flow"].read_text()
    (chapter / "rain.py").write_text(source.replace('"slow-flow"', '"rain"'))
    subprocess.run([sys.executable, "-c", _FOUND, str(tmp_path)], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    "source",
    ["import torch.nn", "def f():\n    from torch import Tensor", "__import__('torch')", "import os, torch as t"],
)
def test_mutant_hidden_imports_are_seen(source: str) -> None:
    assert "torch" in {name.partition(".")[0] for name in imported(source)}
