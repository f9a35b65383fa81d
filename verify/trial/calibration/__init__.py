"""The suite itself put to the test: what it found over many root seeds against what its designs declare.

campaign     `Campaign`: verdicts and intervals of one claim by root seed, from evidence, and in a compact file
checks       what must hold of them: wrong verdicts, power, p-values, coverage, systematic errors, controls
tables       that in tables
"""

from verify.trial.calibration.campaign import Campaign, campaigns, load, save
from verify.trial.calibration.checks import Calibration, calibrate
from verify.trial.calibration.tables import as_json, as_markdown, as_text

__all__ = [
    "Calibration",
    "Campaign",
    "as_json",
    "as_markdown",
    "as_text",
    "calibrate",
    "campaigns",
    "load",
    "save",
]
