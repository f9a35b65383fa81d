"""Campaigns: cohorts over a grid of families, root seeds and settings, each trained once, on one machine or many.

`grid` reads the file that declares a campaign, `work` is one run of it as a function that any process can do,
`workers` says where runs are made and survives their deaths, `rows` is the table that comes out, `estimate` what a
campaign will cost.
"""

from verify.campaigns.estimate import Estimate, estimate
from verify.campaigns.grid import Campaign, CampaignError, Run, load, runs
from verify.campaigns.rows import RowsError, RowsFile
from verify.campaigns.work import Outcome, finished, perform, progress
from verify.campaigns.workers import Workers, WorkersError, completed

__all__ = [
    "Campaign",
    "CampaignError",
    "Estimate",
    "Outcome",
    "RowsError",
    "RowsFile",
    "Run",
    "Workers",
    "WorkersError",
    "completed",
    "estimate",
    "finished",
    "load",
    "perform",
    "progress",
    "runs",
]
