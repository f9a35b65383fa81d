"""Evidence of schema 1, as schema 2: what was found on networks stood among the parameters, in other words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MEAN, HALF_WIDTH, ENDS, ACCURACY = ": mean difference", ": ±", (", low", ", high"), "accuracy, "
"""What told numbers about networks apart: parts of their names."""
_WORDS = {"probe": "head", "probes": "heads"}
_WORDS_ON_NETWORKS = {
    "arms": "conditions",
    "exam": "evaluation",
    "mend": "recover",
    "mended": "recovered",
    "unit": "replicate",
    "units": "replicates",
}


def upgraded(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of schema 1 as one of schema 2.

    Raises:
        ValueError: a design is by a bound that is no longer there.
    """
    on_networks = any("language" in m["parameters"] for m in line["measurements"])
    words = _WORDS | _WORDS_ON_NETWORKS if on_networks else _WORDS

    def said(found: Mapping[str, Any], *keys: str) -> dict[str, str]:
        return {key: re.sub(r"\w+", lambda word: words.get(word[0], word[0]), found[key]) for key in keys}

    designs = []
    for design in line["designs"]:
        if design.get("support") is not None:
            raise ValueError(f"a design by the bound {design['bound']}, which is no longer there")
        kept = {key: value for key, value in design.items() if key != "support"}
        designs.append(kept | said(design, "statistic", "prediction"))
    measurements = [_measurement(m) | said(m, "statistic") for m in line["measurements"]]
    controls = []
    for control in line["controls"]:
        measurement = _measurement(control["measurement"]) | said(control["measurement"], "statistic")
        controls.append({**said(control, "name", "broken"), "measurement": measurement})
    return {**line, "designs": designs, "controls": controls, "measurements": measurements}


def _measurement(found: Mapping[str, Any]) -> dict[str, Any]:
    parameters = dict(found["parameters"])
    networks = _networks(parameters) if "language" in parameters else None
    return {**found, "parameters": parameters, "networks": networks}


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
        name = key.removeprefix(ACCURACY).removesuffix(MEAN)
        name = re.sub(r"\w+", lambda word: _WORDS_ON_NETWORKS.get(word[0], word[0]), name)
        group = "accuracies" if key.startswith(ACCURACY) else "evaluations" if key.endswith(MEAN) else "beside"
        half = parameters.pop(key.removesuffix(MEAN) + HALF_WIDTH, None)
        if half is None:
            low, high = (parameters.pop(key + end, None) for end in ENDS)
        else:
            low, high = value - half, value + half
        groups[group][name] = {"value": value, "low": low, "high": high}
    return networks | groups
