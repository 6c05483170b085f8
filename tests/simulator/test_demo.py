"""`guardian demo`: what `make demo` runs, in a pipe, with nothing but Python."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from simulator.demo import scenarios


@pytest.mark.timeout(180)
def test_the_demo_judges_four_releases_rightly_and_says_on_what_evidence() -> None:
    """Promoted, rolled back twice, held and then promoted; exit 0 says that all of it was right."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "guardian", "demo"], capture_output=True, text=True, check=False, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 verdicts are right" in done.stdout
    assert "Mode of their policies: enforce" in done.stdout
    assert "critical objective 'errors' is broken on stable as well" in done.stdout
    assert done.stdout.count("rolled-back, as it should be") == 2
    assert "Evidence: errors: " in done.stdout
    assert done.stdout.count("is stable now, with all traffic") == 2, "each of the two is told once"
    assert "traffic: verified" not in done.stdout, "the summary says it already"
    assert "guardian simulate --all" in done.stdout
    assert done.stderr == ""
    assert time.monotonic() - began < 120


def test_every_demo_release_has_a_policy_that_names_its_mode() -> None:
    """A reader must not have to know the default to know who moved the traffic."""
    assert len(scenarios()) == 4
    assert all(one.policy.mode.value == "enforce" for one in scenarios())
