"""Random streams: one seed for every purpose, derived from the root seed and the claim's id, and taken once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager


def stream_seed(root_seed: int, claim: str, *path: str | int) -> int:
    """Return the 63-bit seed of one purpose: SHA-256 of root seed, claim id and path.

    Streams of different claims or paths are unrelated, so that a verdict depends on the root seed alone and not
    on which other claims run, or in what order.

    >>> stream_seed(0, "plateau", "start", 1) == stream_seed(0, "plateau", "start", 1)
    True
    >>> stream_seed(0, "plateau", "start", 1) == stream_seed(1, "plateau", "start", 1)
    False
    """
    name = "\x1f".join(str(part) for part in (root_seed, claim, *path))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1


class RepeatedStreamError(ValueError):
    """A random stream is taken a second time, and nothing says that its numbers are meant to be the same."""


class Streams:
    """The seeds of one claim (or cohort), each given out once.

    Equal seeds are equal random numbers. Where that is meant — ensembles at several rates, say, share theirs, so that
    their difference varies less — the later use says `again`; anywhere else it would pass one draw off as several.

    Args:
        root_seed: root of all random streams.
        name: id of the claim, or whatever else the streams belong to.
    """

    def __init__(self, root_seed: int, name: str) -> None:
        self._root_seed, self._name = root_seed, name
        self._taken: set[int] = set()

    def seed(self, *path: str | int, again: bool = False) -> int:
        """Return the seed of one purpose, `stream_seed`.

        Args:
            path: name of the purpose.
            again: whether its random numbers may have been used before.

        Raises:
            RepeatedStreamError: it was taken before, and not `again`.
        """
        seed = stream_seed(self._root_seed, self._name, *path)
        if seed in self._taken and not again:
            raise RepeatedStreamError(
                f"{self._name}: expected a random stream that was not used before, got {path} again, whose numbers "
                "are the same; name another purpose, or pass again=True where they are to be shared"
            )
        self._taken.add(seed)
        return seed

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is taken inside may be taken again after it: what one claim draws from a cohort, another may as well."""
        before = set(self._taken)
        try:
            yield
        finally:
            self._taken = before
