"""Evidence of schema 1, as schema 2: what was found on networks stood among the parameters, in other words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MEAN, HALF_WIDTH, ENDS, ACCURACY = ": mean difference", ": ±", (", low", ", high"), "accuracy, "
"""What told numbers about networks apart: parts of their names."""
_WORDS = {
    "arms": "conditions",
    "exam": "evaluation",
    "mend": "recover",
    "mended": "recovered",
    "probe": "head",
    "probes": "heads",
    "unit": "replicate",
    "units": "replicates",
}


def upgraded(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of schema 1 as one of schema 2."""
    designs = []
    for design in line["designs"]:
        if design.get("support") is not None:
            raise ValueError(f"a design by the bound {design['bound']}, which is no longer had")
        words = {key: in_todays_words(design[key]) for key in ("statistic", "prediction")}
        designs.append({key: value for key, value in design.items() if key != "support"} | words)
    controls = [
        {
            "name": in_todays_words(control["name"]),
            "broken": in_todays_words(control["broken"]),
            "measurement": _measurement(control["measurement"]),
        }
        for control in line["controls"]
    ]
    measurements = [_measurement(m) for m in line["measurements"]]
    return {**line, "designs": designs, "controls": controls, "measurements": measurements}


def in_todays_words(text: str) -> str:
    """Replace the words that were given up."""
    return re.sub(r"\b\w+\b", lambda word: _WORDS.get(word[0], word[0]), text)


def _measurement(found: Mapping[str, Any]) -> dict[str, Any]:
    parameters = dict(found["parameters"])
    networks = _networks(parameters) if "language" in parameters else None
    statistic = in_todays_words(found["statistic"])
    return {**found, "statistic": statistic, "parameters": parameters, "networks": networks}


def _networks(parameters: dict[str, Any]) -> dict[str, Any]:
    """Take what is about networks out of the parameters."""
    known = {"language": "language", "scale": "scale", "units": "replicates", "width": "width"}
    networks: dict[str, Any] = {new: parameters.pop(old, None) for old, new in known.items()}
    networks["excess_share"] = parameters.pop("excess share", None)
    groups: dict[str, dict[str, Any]] = {"accuracies": {}, "evaluations": {}, "beside": {}}
    for key in [key for key, value in parameters.items() if isinstance(value, float) or key == "units without ranks"]:
        if key not in parameters or key.endswith((HALF_WIDTH, *ENDS)):
            continue
        value = float(parameters.pop(key))
        name = in_todays_words(key.removeprefix(ACCURACY).removesuffix(MEAN))
        group = "accuracies" if key.startswith(ACCURACY) else "evaluations" if key.endswith(MEAN) else "beside"
        half = parameters.pop(key.removesuffix(MEAN) + HALF_WIDTH, None)
        if half is None:
            low, high = (parameters.pop(key + end, None) for end in ENDS)
        else:
            low, high = value - half, value + half
        groups[group][name] = {"value": value, "low": low, "high": high}
    return networks | groups
