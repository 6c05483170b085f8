"""One daemon for each file of command-line tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulator.testing.run import current_run
from tests.cli.daemon import Daemon, started


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon that ends with the file's last test."""
    with current_run() as run:
        found = started(run)
        yield found
        found.server.stop()
