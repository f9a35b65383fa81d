"""`flatproof language`: sentences, entropy floor and picture of a language, ready-made or from a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

FLOOR_SAMPLE = 20_000
"""Contexts of the Monte Carlo estimate of an entropy floor that cannot be enumerated."""


class LanguageError(ValueError):
    """The command line asks for a language, a value or a picture that is not to be had."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a ready-made language or a saved one (FILE.json)")
    parser.add_argument("values", nargs="*", metavar="name=value", help="parameters of a ready-made language")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="draw N sentences")
    parser.add_argument("--floor", action="store_true", help="compute the entropy floor, exactly where possible")
    parser.add_argument("--draw", type=Path, metavar="FILE.svg", help="draw the language's structure")
    parser.add_argument("--save", type=Path, metavar="FILE.json", help="write the language to a file")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is random (default 0)")


def describe(arguments: argparse.Namespace, values: dict[str, str]) -> dict[str, Any]:
    """Do what the command line asks for and return it as JSON-ready content.

    Raises:
        LanguageError: the language, a parameter or a file cannot be used; the message says what to do.
    """
    # Imported here: the other verbs need no torch.
    import torch

    from synthetic.catalogue import CatalogueError, DrawingError, draw, entries, load, ready_made, save

    if arguments.name is None:
        return {
            "languages": [{"name": e.name, "about": e.about, "parameters": e.describe()} for e in entries().values()]
        }
    if arguments.sample < 0:
        raise LanguageError(f"--sample {arguments.sample} is negative; ask for at least 0 sentences")
    try:
        if arguments.name.endswith(".json"):
            if values:
                raise LanguageError("a saved language has its parameters in its file; give no name=value")
            language, about = load(arguments.name), f"read from {arguments.name}"
        else:
            entry = ready_made(arguments.name)
            language, about = entry(arguments.seed, **entry.parse(values)), entry.about
        found: dict[str, Any] = {
            "name": arguments.name,
            "about": about,
            "family": language.family or type(language).__name__,
            "n_tokens": language.n_tokens,
            "length": language.length,
            "seed": arguments.seed,
            "tasks": list(language.downstream),
        }
        generator = torch.Generator().manual_seed(arguments.seed)
        if arguments.sample:
            found["sentences"] = [language.render(row) for row in language.sample(arguments.sample, generator)]
        if arguments.floor:
            found["floor"] = _floor(language, generator)
        if arguments.draw:
            graph = draw(language, arguments.draw)
            found["picture"] = {"file": str(arguments.draw), "nodes": len(graph), "edges": graph.number_of_edges()}
        if arguments.save:
            found["saved"] = [str(path) for path in save(language, arguments.save)]
    except (CatalogueError, DrawingError, OSError, TypeError, ValueError) as error:
        raise LanguageError(str(error)) from error
    return found


def _floor(language: Any, generator: Any) -> dict[str, Any]:
    from synthetic import EnumerationTooLargeError

    try:
        return {"value": language.entropy_floor(), "exact": True}
    except EnumerationTooLargeError:
        estimate = language.estimate_entropy_floor(FLOOR_SAMPLE, generator)
        error = {"standard_error": estimate.standard_error, "n": estimate.n}
        return {"value": estimate.estimate, "exact": False, **error}


def as_text(found: dict[str, Any]) -> str:
    """Return the content as lines for people."""
    if "languages" in found:
        lines = [f"{e['name']:<14} {e['about']}\n{'':<14}   {e['parameters']}" for e in found["languages"]]
        return "\n".join(lines)
    lines = [
        f"{found['name']}: {found['about']}",
        f"{found['n_tokens']} tokens, length {found['length']}; tasks: {', '.join(found['tasks']) or 'none'}",
    ]
    lines += [f"  {sentence}" for sentence in found.get("sentences", ())]
    if "floor" in found:
        floor = found["floor"]
        how = "exact" if floor["exact"] else f"± {floor['standard_error']:.2g} from {floor['n']} contexts"
        lines.append(f"entropy floor L* = {floor['value']:.6f} nats per masked token ({how})")
    if "picture" in found:
        picture = found["picture"]
        lines.append(f"drew {picture['nodes']} nodes, {picture['edges']} edges to {picture['file']}")
    if "saved" in found:
        lines.append(f"saved to {', '.join(found['saved'])}")
    return "\n".join(lines)
