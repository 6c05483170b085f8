"""`guardian doctor`: whether everything is there that a daemon with this guardian.yaml will need."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from guardian.cli.connect import find_settings
from guardian.cli.diagnosis import Health, Symptom
from guardian.cli.exits import ExitCode
from guardian.cli.options import ConfigOption, OutputOption, PatienceOption
from guardian.cli.output import Output, Table, say, show
from guardian.config.settings import Settings

STYLES: Final = {"check": "cyan", "state": "bold"}
NotifyOption = Annotated[bool, typer.Option("--notify", help="send a test notice to everybody of `notify`")]
PATIENCE: Final = 10.0
"""Seconds that one check may take, unless --timeout says otherwise."""


def doctor(
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
    timeout: PatienceOption = None,
    notify: NotifyOption = False,
) -> None:
    """Check guardian.yaml, policies, Kafka, metrics, routers and the journal's folder; exit 3 on a problem."""
    from guardian.cli.examine import examine  # noqa: PLC0415  loads every client there is

    settings = find_settings(config)
    if settings is None:
        say("there is no guardian.yaml here: looking at the defaults")
    found = asyncio.run(examine(settings or Settings(), patience=timeout or PATIENCE, notify=notify))
    problems = [one for one in found if one.health is Health.PROBLEM]
    data = {"healthy": not problems, "checks": [asdict(one) for one in found], "config": _named(config)}
    show("Doctor", data, output, tables=[_table(found, len(problems))])
    raise typer.Exit(ExitCode.NO if problems else ExitCode.YES)


def _named(config: Path | None) -> str | None:
    return None if config is None else str(config)


def _table(found: list[Symptom], problems: int) -> Table:
    rows = [(one.check, one.health, one.text, one.remedy) for one in found]
    note = "everything is there" if not problems else f"{problems} of {len(found)} checks found a problem"
    return Table(columns=("check", "state", "what", "remedy"), rows=rows, styles=STYLES, notes=[note])
