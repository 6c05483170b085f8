"""Where the daemon is and what it wants to be shown: --server, the environment, guardian.yaml, loopback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import stamina

from guardian.cli.client import Client
from guardian.config.settings import Settings, load_settings

SERVER: Final = "GUARDIAN_SERVER"
TOKEN: Final = "GUARDIAN_TOKEN"  # noqa: S105  the name of a variable
CONFIG: Final = "GUARDIAN_CONFIG"
DEFAULT_FILE: Final = "guardian.yaml"


def find_settings(config: Path | None) -> Settings | None:
    """Return guardian.yaml: as named, as $GUARDIAN_CONFIG says, or ./guardian.yaml; None when there is none."""
    named = config or (Path(os.environ[CONFIG]) if os.environ.get(CONFIG) else None)
    if named is not None:
        return load_settings(named)
    default = Path(DEFAULT_FILE)
    return load_settings(default) if default.is_file() else None


def connect(server: str | None, config: Path | None, *, settings: Settings | None = None) -> Client:
    """Return a client of the daemon. Nothing is sent yet."""
    stamina.instrumentation.set_on_retry_hooks([])  # a person is told once, by the error, not at every try
    found = settings or find_settings(config)
    url = server or os.environ.get(SERVER) or (found or Settings()).url
    token = os.environ.get(TOKEN) or (found.token.read() if found is not None and found.token is not None else None)
    return Client(url, token=token)
