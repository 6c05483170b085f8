"""`guardian run`: the daemon, until it is stopped."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Annotated

import typer

from guardian.config.settings import load_settings
from guardian.errors import ConfigError, GuardianError


def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="guardian.yaml")] = Path("guardian.yaml"),
) -> None:
    """Run the daemon until SIGTERM; SIGHUP loads the policies again."""
    import uvloop  # noqa: PLC0415  not on every platform

    from guardian.app import serve  # noqa: PLC0415  the whole daemon
    from guardian.runtime.logs import configure_logs  # noqa: PLC0415

    if not config.exists():
        remedy = "write one (`guardian schema settings -o markdown` lists its keys), or name yours with --config"
        raise ConfigError("there is no such file", where=str(config), remedy=remedy)
    settings = load_settings(config)
    configure_logs(settings.log)
    gc.freeze()  # what was imported lives as long as the process: not walked again
    gc.set_threshold(50_000, 20, 50)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except* GuardianError as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[GuardianError]) -> GuardianError:
    """Return what ended the daemon: the first error of the group, however deep it lies."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, GuardianError)  # noqa: S101  except* gives no other
    return error
