"""The policy folder of a running daemon: loaded at the start, again on SIGHUP and when a file has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from guardian.config.policy import load_policies
from guardian.core.model import Seconds
from guardian.core.policies import Policies
from guardian.errors import GuardianError

_log = structlog.get_logger(__name__)
_State = frozenset[tuple[str, int, int]]


class PolicyFolder:
    """Gives new policies to `taken`; what is wrong with them to `refused`, and the old ones stay."""

    def __init__(
        self, path: Path, *, taken: Callable[[Policies], None], refused: Callable[[str], None], every: Seconds
    ) -> None:
        self._path, self._every = path, every
        self._taken, self._refused = taken, refused
        self._asked = asyncio.Event()
        self._state = _state(path)

    def reload(self) -> None:
        """Load again in a moment, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Look for changes until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._every):
                    await self._asked.wait()
            except TimeoutError:
                state = await asyncio.to_thread(_state, self._path)
                if state == self._state:
                    continue
                self._state = state
            self._asked.clear()
            await self._load()

    async def _load(self) -> None:
        try:
            found = Policies(await asyncio.to_thread(load_policies, self._path))
        except GuardianError as error:
            _log.error("policies_refused", text=str(error))
            self._refused(str(error))
        else:
            self._taken(found)


def _state(path: Path) -> _State:
    """Return what changes when a policy file does."""
    files = path.rglob("*.y*ml") if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            about = file.stat()
        except OSError:
            continue
        found.append((str(file), about.st_mtime_ns, about.st_size))
    return frozenset(found)
