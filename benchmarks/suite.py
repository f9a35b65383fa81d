"""Wall-clock times of what a user waits for: importing the theory, deriving everything, running the suite.

Usage: python benchmarks/suite.py [--verify PROFILE]

Each figure is the median of several whole processes, printed beside the limit the project sets itself; nothing is
asserted.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

IMPORT = "import theory.claims, sys; assert 'torch' not in sys.modules"
DERIVE = "from theory.claims import CLAIMS; [claim.derivation for claim in CLAIMS.values()]"


def seconds(command: list[str], repeats: int) -> float:
    """Return the median wall-clock time of a command."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verify", choices=("quick", "default"), help="also time `pytest verify/` at this profile")
    arguments = parser.parse_args()
    python = [sys.executable, "-c"]
    bare = seconds([*python, "import sympy, networkx"], 5)
    rows: list[tuple[str, float, float | None]] = [
        ("import sympy, networkx", bare, None),
        ("import theory.claims (without torch)", seconds([*python, IMPORT], 5), 1.0),
        ("derive every claim", seconds([*python, DERIVE], 3), 60.0),
    ]
    if arguments.verify:
        command = [sys.executable, "-m", "pytest", "verify/", f"--profile={arguments.verify}", "-q"]
        limit = 45.0 if arguments.verify == "quick" else 300.0
        rows.append((f"pytest verify/ --profile={arguments.verify}", seconds(command, 1), limit))
    for name, measured, allowed in rows:
        shown = f"limit {allowed:5.0f} s, {measured / allowed:4.0%} of it" if allowed else ""
        print(f"{name:<40} {measured:7.2f} s   {shown}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{'largest resident set of any of them':<40} {peak:7.2f} GiB limit     3 GiB")


if __name__ == "__main__":
    main()
