"""What is kept of our membership in the consumer group, without a broker; tests/contracts has the real one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from guardian.adapters._membership import Membership

NOBODY = object()
"""A consumer that cannot be asked anything: touching it would fail."""


def consumer(member: str) -> SimpleNamespace:
    """What aiokafka's consumer shows of its membership."""
    return SimpleNamespace(_coordinator=SimpleNamespace(member_id=member))


@pytest.mark.parametrize("kept", [b"", b"{", b'{"group": 1}', b'{"group": "another", "member": "m-1"}'])
async def test_a_file_that_says_nothing_of_this_group_ends_nobody(tmp_path: Path, kept: bytes) -> None:
    """Cut off by a power failure, or of a group that guardian.yaml no longer names: the group waits as ever."""
    file = tmp_path / "member.json"
    file.write_bytes(kept)
    await Membership(file, group="guardian").end_former(NOBODY)


async def test_without_a_file_nothing_is_kept_and_nobody_ended(tmp_path: Path) -> None:
    """The first start, and a source that was given no folder."""
    await Membership(None, group="guardian").keep(consumer("m-1"))
    await Membership(None, group="guardian").end_former(NOBODY)
    await Membership(tmp_path / "member.json", group="guardian").end_former(NOBODY)
    assert list(tmp_path.iterdir()) == []


async def test_the_newest_membership_is_kept(tmp_path: Path) -> None:
    """Each rejoin may give another id; the file is replaced whole, or not at all."""
    file = tmp_path / "member.json"
    membership = Membership(file, group="guardian")
    for member in ("m-1", "m-1", "m-2"):
        await membership.keep(consumer(member))
    assert file.read_bytes() == b'{"group":"guardian","member":"m-2"}'
    assert list(tmp_path.iterdir()) == [file]


async def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """A crash then costs a session's wait, as it would without the file."""
    await Membership(tmp_path / "absent" / "member.json", group="guardian").keep(consumer("m-1"))
