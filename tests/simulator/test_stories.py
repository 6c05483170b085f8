"""What is said about scenarios: the page of the library, and the list of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from simulator.library import library, load
from simulator.stories import page, right
from simulator.truth import Truth


def test_the_page_of_the_library_is_what_its_files_say() -> None:
    """`guardian simulate --list -o markdown > docs/scenarios/library.md` brings it up to date."""
    told = page([load(file) for file in library().values()])
    assert Path("docs/scenarios/library.md").read_text(encoding="utf-8") == told


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"verdict": "rollback", "within": "4m"}, "roll back within 4m"),
        (
            {"verdict": "rollback", "onset": "12m", "within": "2m", "never": [{"event": "rollback", "before": "12m"}]},
            "roll back within 2m of minute 12; never rolled back before minute 12",
        ),
        (
            {"verdict": "hold", "expect": [{"event": "paged", "after": "90s", "within": "4m"}]},
            "hold; paged within 4m of minute 1.5",
        ),
        ({"verdict": "hold", "rollback_allowed": True}, "hold, or roll back"),
        (
            {"verdict": "rollback", "within": "30s", "never": [{"event": "rollback", "more_than": 1}]},
            "roll back within 30s; never rolled back more than once",
        ),
    ],
)
def test_what_is_right_is_said_in_words(written: dict[str, Any], words: str) -> None:
    """As one would tell it."""
    assert right(Truth.model_validate(written)) == words


def _told(*arguments: str) -> str:
    command = [sys.executable, "-m", "guardian", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_list_says_what_there_is_without_playing_it() -> None:
    """Of all, or of those that are named."""
    listed = YAML(typ="safe").load(_told("simulate", "--list", "-o", "yaml"))["items"]
    assert [item["scenario"] for item in listed] == list(library())
    assert "Clear regression" in _told("simulate", "--list", "S02")
