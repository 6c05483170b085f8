"""The library under every rule: what is counted, what is held out, and the page that tells it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.campaign import RESULTS
from benchmarks.library.cells import RULES
from benchmarks.library.document import DOCUMENT, PARTS, document, part_of
from benchmarks.library.heldout import HELD_OUT, NAMES, SEEN_BEFORE
from simulator.library import library

RUN = [sys.executable, "-m", "benchmarks.library"]


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """Two scenarios, two seeds; one of them is held out."""
    command = [*RUN, "--only", "S01,S02", "--flow", "2", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_third_is_held_out_for_good() -> None:
    """The lot is drawn once: these names, whatever comes to the library."""
    assert " ".join(sorted(HELD_OUT)) == "S02 S03 S04 S12 S17 S26c S29 S33 S34 S36 S37a S41b S42 S44 S52 S53"
    assert set(NAMES) | SEEN_BEFORE <= set(library())
    assert [part_of(name) for name in ("S01", "S02", "S03")] == list(PARTS)


def test_every_rule_is_counted_on_the_same_runs(result: dict[str, Any]) -> None:
    """Right, late and wrong are all there is."""
    for cell in result["cells"]:
        for rule in RULES:
            right, late, wrong = (cell["events"][f"{rule}: {outcome}"] for outcome in ("right", "late", "wrong"))
            assert right + late + wrong == cell["runs"] >= 2
    assert result["cells"][0]["events"]["guardian: right"] == result["cells"][0]["runs"]


def test_the_page_tells_both_parts_apart(result: dict[str, Any]) -> None:
    """And each rule's mistakes by kind."""
    page, runs = document(result), result["cells"][0]["runs"]
    assert f"| S01 Hard break | tuned on | rollback | {runs}/{runs} |" in page
    assert "| S02 Clear regression | held out, seen before | rollback |" in page
    assert f"| all | {2 * runs} / 0 |" in page


def test_the_committed_page_is_that_of_the_committed_result() -> None:
    """`python -m benchmarks.library --docs` brings it up to date; both are there, or neither."""
    file = RESULTS / "library.json"
    assert file.is_file() == DOCUMENT.is_file()
    if file.is_file():
        assert Path(DOCUMENT).read_text(encoding="utf-8") == document(json.loads(file.read_text(encoding="utf-8")))
