"""The one way in which a check says no."""

from __future__ import annotations


class CheckFailedError(Exception):
    """A step was not established: it is wrong, or it could not be decided; undecided counts as wrong."""


class RefutedError(CheckFailedError):
    """A statement is false, or has no value, at a point where its premises hold."""
