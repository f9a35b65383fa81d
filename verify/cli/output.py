"""What the verbs print: one JSON document, or an error in one line."""

from __future__ import annotations

import json
import sys
from typing import Any

SCHEMA = 1


def print_json(verb: str, content: Any) -> None:
    """Print the JSON document of a verb."""
    print(json.dumps({"schema": SCHEMA, "verb": verb, verb: content}, ensure_ascii=False, indent=2))


def usage_error(message: str) -> int:
    """Print an error and return the exit status of a wrong command line."""
    print(f"flatproof: error: {message}", file=sys.stderr)
    return 2
