"""Journals of released versions: read for ever, and leading to the same events, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from guardian.core import records as r
from tests.golden.stories import HERE, events, journal

VERSIONS = sorted(path.name.removesuffix(".journal.jsonl") for path in HERE.glob("*.journal.jsonl"))


def read(path: Path) -> list[r.Record]:
    """Decode a journal of one record a line."""
    decoder = msgspec.json.Decoder(r.Record)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_journal_leads_to_the_events_it_led_to_then(version: str) -> None:
    """An upgrade never rewrites history: ids, order and bytes of the events stay."""
    records = read(HERE / f"{version}.journal.jsonl")
    assert events(records) == (HERE / f"{version}.events.jsonl").read_bytes().splitlines()


def test_the_stories_tell_of_every_kind_of_record() -> None:
    """A record that no story contains could be broken without anybody seeing it."""
    told = {type(record) for record in journal()}
    untold = {kind.__name__ for kind in get_args(r.Record)} - {kind.__name__ for kind in told}
    assert untold == set()
