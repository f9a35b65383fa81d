"""Random streams: one seed for every purpose, derived from the root seed and the claim's id."""

from __future__ import annotations

import hashlib


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
