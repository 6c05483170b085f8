"""Where the daemon is and what it wants to be shown, and where metrics are: flags, environment, guardian.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import stamina

from guardian.cli.client import Client
from guardian.config.settings import Metrics, Settings, load_settings
from guardian.core.policy import Policy
from guardian.errors import ConfigError

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


def metrics_of(
    policy: Policy, config: Path | None, environment: str | None, region: str, *, unknown: ConfigError, instead: str
) -> Metrics:
    """Return where the metrics of the policy's environment are asked for; it has a url.

    Raises `unknown` where no environment is named or there is no guardian.yaml, and ConfigError where its metrics have
    no address; instead: what else helps then.
    """
    settings = find_settings(config)
    name = environment or policy.match.environment or (settings.default_environment if settings else None)
    if settings is None or not name:
        raise unknown
    metrics = settings.place(name, region).metrics
    if metrics is None or metrics.url is None:
        what = f"environment '{name}' has no metrics.url to ask"
        raise ConfigError(what, where="guardian.yaml", remedy=f"add it, or {instead}")
    return metrics
