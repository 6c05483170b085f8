"""`guardian gate`: do a service's guardrails hold now? One question, one exit code, for any pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from guardian.cli.connect import connect, find_settings
from guardian.cli.exits import ExitCode
from guardian.cli.options import (
    ConfigOption,
    EnvironmentOption,
    OutputOption,
    RegionOption,
    ServerOption,
    ServiceArgument,
)
from guardian.cli.output import Output, Table, show
from guardian.config.source import read_documents
from guardian.config.units import format_share
from guardian.errors import CommandError, ConfigError

CODES: Final = {"healthy": ExitCode.YES, "failed": ExitCode.NO, "undecided": ExitCode.UNDECIDED}


def gate(
    service: ServiceArgument,
    *,
    environment: EnvironmentOption = None,
    region: RegionOption = "",
    policy: Annotated[str | None, typer.Option("--policy", metavar="NAME", help="guardrails of this policy")] = None,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", metavar="NAME", help="this guardrail only; may be repeated")
    ] = None,
    dry: Annotated[
        list[str] | None, typer.Option("--dry-rule", metavar="NAME", help="shown, and does not decide; may be repeated")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", metavar="FILE", help="YAML list of {name | guardrail, dry_run}")
    ] = None,
    output: OutputOption = Output.TABLE,
    server: ServerOption = None,
    config: ConfigOption = None,
) -> None:
    """Say whether a service's guardrails hold now: exit 0 healthy, 3 failed, 4 too little data."""
    settings = find_settings(config)
    place = environment or (settings.default_environment if settings else None)
    if place is None:
        remedy = "give --environment, or set 'environment:' in guardian.yaml"
        raise CommandError("which environment is not known", where="guardian gate", remedy=remedy)
    asked = [{"name": name} for name in rule or ()] + [{"name": name, "dry_run": True} for name in dry or ()]
    question: dict[str, Any] = {"service": service, "environment": place, "region": region, "policy": policy}
    with connect(server, config, settings=settings) as client:
        answer = client.gate({**question, "rules": [*asked, *_inline(rules)]})
    show("Gate", answer, output, tables=[gate_table(answer)])
    raise typer.Exit(CODES[answer["verdict"]])


def _inline(path: Path | None) -> list[Any]:
    if path is None:
        return []
    documents = read_documents(path)
    found = documents[0].data if documents else None
    if not isinstance(found, list):
        remedy = "write '- {name: errors}' or '- {guardrail: {...}, dry_run: true}' a line"
        raise ConfigError("is not a list of rules", where=str(path), remedy=remedy)
    return found


def gate_table(answer: dict[str, Any]) -> Table:
    """Return the gate's answer: one row a rule, the verdict below."""
    rows = [
        (one["name"], f"{one['result']}{' (dry)' if one['dry_run'] else ''}", _number(one["requests"]),
         _level(one["level"], one.get("unit", "")), one["reason"])
        for one in answer["rules"]
    ]  # fmt: skip
    notes = [f"{answer['service']} in {answer['environment']}: {answer['verdict']}", *answer["problems"]]
    columns = ("guardrail", "result", "requests", "level", "reason")
    return Table(columns=columns, rows=rows, notes=notes, styles={"guardrail": "cyan", "result": "bold"})


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _level(value: float | None, unit: str) -> str:
    """Return a level with its unit; "" where nothing was measured.

    >>> _level(0.0061, "share"), _level(0.61, "seconds"), _level(2.5, "seconds")
    ('0.61 % bad', '610 ms', '2.5 s')
    """
    if value is None:
        return ""
    if unit == "share":
        return f"{format_share(value)} bad"
    if unit == "seconds":
        return f"{1000.0 * value:.4g} ms" if value < 1.0 else f"{value:.4g} s"
    return f"{value:.4g}"
