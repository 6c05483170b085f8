"""The project's own guardrails in CI: `python -m benchmarks.guardrails [NAME..] [--write]`.

Runs `guardian bench guardrails` on fixed seeds: the shipped library under its own policies, and the policies of
examples/ on incidents of a service with their objectives. Compares with benchmarks/results/guardrails, strictly.
--write: makes these baselines anew; see docs/reference/bench.md for when that is honest.
Exit code: 0, 2 wrong usage, 3 something is worse.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.campaign import RESULTS
from benchmarks.environment import ROOT

BASELINES: Final = RESULTS / "guardrails"
GAME: Final = ROOT / "examples" / "game"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One run of the command; no policy: each scenario's own; no scenarios: the library."""

    name: str
    seeds: int
    policy: Path | None = None
    scenarios: Path | None = None

    @property
    def baseline(self) -> Path:
        """The file it is compared with."""
        return BASELINES / f"{self.name}.json"

    def command(self, *more: str) -> list[str]:
        """Return the command as a list; jobs: 1, the tests beside it have the other cores."""
        asked = [sys.executable, "-m", "guardian", "bench", "guardrails", "--jobs", "1"]
        asked += ["--seeds", str(self.seeds)]
        asked += ["--policy", str(self.policy)] if self.policy else []
        asked += ["--scenarios", str(self.scenarios)] if self.scenarios else []
        return [*asked, *more]


SLICES: Final = {
    one.name: one
    for one in (
        Slice(name="library", seeds=1),
        Slice(name="game", seeds=2, policy=GAME / "policy.yaml", scenarios=GAME / "scenarios"),
        Slice(
            name="checkout", seeds=2, policy=ROOT / "examples" / "policies" / "checkout.yaml",
            scenarios=GAME / "scenarios",
        ),
    )
}  # fmt: skip


def compare(one: Slice) -> int:
    """Run a slice beside its baseline and return the command's exit code: 0, or 3 with what is worse on stderr."""
    return subprocess.run(one.command("--compare", str(one.baseline), "--strict"), check=False).returncode


def write(one: Slice) -> None:
    """Make a slice's baseline anew, whole or not at all. Raises CalledProcessError where the command fails."""
    measured = subprocess.run(one.command("--output", "json"), check=True, stdout=subprocess.PIPE).stdout
    one.baseline.parent.mkdir(parents=True, exist_ok=True)
    half = one.baseline.with_suffix(".part")
    half.write_bytes(measured)
    half.replace(one.baseline)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guardrails", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"slices: {', '.join(SLICES)} (default: all)")
    parser.add_argument("--write", action="store_true", help="make the baselines anew")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(SLICES):
        parser.error(f"there is no slice {', '.join(sorted(unknown))}; write one of: {', '.join(SLICES)}")
    slices = [SLICES[name] for name in chosen.names or SLICES]
    if chosen.write:
        for one in slices:
            write(one)
        return 0
    return max(compare(one) for one in slices)


if __name__ == "__main__":
    sys.exit(main())
