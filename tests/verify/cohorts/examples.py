"""The smallest scale that is still one."""

from dataclasses import replace

from verify.cohorts import SCALES

TINY = replace(
    SCALES["small"],
    members=3,
    width=4,
    layers=1,
    heads=2,
    pretraining=12,
    continuation=6,
    intervention=4,
    anneal=6,
    checkpoints=3,
    reference=64,
    probes=2,
    draws=4,
    tested=50,
)
