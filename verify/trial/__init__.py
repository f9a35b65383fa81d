"""A claim on trial: what its test declares, how it is decided, what is recorded and how that is shown.

trial        `Trial`: declare designs, decide instances, catch controls, conclude
design       `Design`: one statistic, its margin, its error rates; refused if n does not give its power
decision     supported, refuted or inconclusive
evidence     one JSON line for each claim; `measurement` is what it holds, `stored` where the project keeps it
report       tables from evidence, for a terminal and for the documents; `plots` is the picture
outlook      what is said and expected beside the designs
calibration  what the designs promise, checked on trials at many root seeds
"""

from verify.trial.decision import Verdict
from verify.trial.design import Design, UnderpoweredError
from verify.trial.evidence import BadLine, Evidence, lines, read
from verify.trial.measurement import Measurement, Networks, Reported
from verify.trial.outlook import Outlook
from verify.trial.trial import BUDGET, Trial

__all__ = [
    "BUDGET",
    "BadLine",
    "Design",
    "Evidence",
    "Measurement",
    "Networks",
    "Outlook",
    "Reported",
    "Trial",
    "UnderpoweredError",
    "Verdict",
    "lines",
    "read",
]
