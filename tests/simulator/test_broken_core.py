"""The real `guardian bench guardrails` in processes of its own: twice right on the same code, never on a worse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator.library import find

BROKEN = Path(__file__).parent / "broken"
ROOT = Path(__file__).parents[2]
SEEDS = "10"
BOTH = ("S02", "S41a")
"""A release with twice the errors, and a healthy one."""
pytestmark = pytest.mark.timeout(400)


def _bench(*more: str, core: str | None = None, scenarios: tuple[str, ...] = BOTH) -> subprocess.CompletedProcess[str]:
    """Run the command; core: which way it is broken."""
    named = [word for name in scenarios for word in ("--scenarios", name)]
    command = [sys.executable, "-m", "guardian", "bench", "guardrails", *named, "--seeds", SEEDS, "--jobs", "1", *more]
    paths = [str(ROOT)] if core is None else [str(BROKEN), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200", "BROKEN_CORE": core or ""}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the code as it is prints."""
    done = _bench("--output", "json")
    assert done.returncode == 0, done.stderr
    file = tmp_path_factory.mktemp("whole") / "baseline.json"
    file.write_text(done.stdout, encoding="utf-8")
    return file


def test_the_same_code_passes_twice_with_the_same_bytes(baseline: Path) -> None:
    """No clock is in what it prints, so all of it is equal; without any tolerance, and strictly."""
    for _ in range(2):
        done = _bench("--compare", str(baseline), "--tolerance", "0%", "--strict", "--output", "json")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == baseline.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("core", "scenarios", "told"),
    [
        ("never", ("S02",), ("S02: not right in time", "S02: requests hurt x 1.")),
        ("eager", BOTH, ("S41a: wrong verdicts +100.0%",)),
        ("slow", ("S02",), ("S02: delay x ",)),
    ],
)
def test_a_broken_core_fails_and_what_got_worse_is_named(
    baseline: Path, core: str, scenarios: tuple[str, ...], told: tuple[str, ...]
) -> None:
    """It never rolls back; it rolls back healthy releases; it is late."""
    done = _bench("--compare", str(baseline), core=core, scenarios=scenarios)
    assert done.returncode == 3, done.stderr
    for sentence in told:
        assert f"regressed: {sentence}" in done.stderr
    assert "WORSE" in done.stdout


def test_one_seed_is_enough_where_nothing_may_change(baseline: Path) -> None:
    """Strictly, each seed that a core which never rolls back has missed is named."""
    done = _bench("--compare", str(baseline), "--strict", core="never", scenarios=("S02",))
    assert done.returncode == 3
    seeds = [run["seed"] for run in _line(baseline)["runs"]]
    assert [seed for seed in seeds if f"regressed: S02, seed {seed}: " in done.stderr] == seeds


def test_margins_ten_times_as_wide_fail(baseline: Path, tmp_path: Path) -> None:
    """Twice the errors are within them, and the policy promotes what it should send back."""
    text = find("S02")[0].read_text(encoding="utf-8").split("\n---\n")[1]
    for strict, wide in (("rollback: {relative: 1.05", "rollback: {relative: 10.5"), ("relative: 1.5", "relative: 15")):
        assert strict in text
        text = text.replace(strict, wide)
    weak = tmp_path / "policy.yaml"
    weak.write_text(text, encoding="utf-8")
    done = _bench("--compare", str(baseline), "--policy", str(weak), scenarios=("S02",))
    assert done.returncode == 3, done.stderr
    assert "regressed: S02: wrong verdicts +100.0%" in done.stderr


def _line(baseline: Path) -> dict[str, Any]:
    """Return the figures of S02."""
    read: dict[str, Any] = json.loads(baseline.read_text(encoding="utf-8").splitlines()[0])
    assert read["name"] == "guardrails/S02"
    return read
