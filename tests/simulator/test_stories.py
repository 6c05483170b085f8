"""The stories told in docs/scenarios are those of the scenario files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simulator.library import library, load

DOCS = Path(__file__).resolve().parents[2] / "docs" / "scenarios"
_STORY = re.compile(r"^## (S\d+\w?): (.+)\n((?:.+\n)+)", re.MULTILINE)
TOLD = {
    name: (title, " ".join(text.split()))
    for file in sorted(DOCS.glob("*.md"))
    for name, title, text in _STORY.findall(file.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("name", sorted(TOLD))
def test_a_story_is_that_of_its_file(name: str) -> None:
    """A reader of the one knows the other."""
    scenario = load(library()[name])
    assert TOLD[name] == (scenario.metadata.title, " ".join(scenario.spec.story.split()))


def test_incidents_of_platform_and_control_are_told() -> None:
    """From S50 on the library is theirs."""
    later = {name for name in library() if re.match(r"S5\d", name)}
    assert {"S10", "S14a", "S14b", "S19", "S20", "S27", "S28", *later} <= set(TOLD)
