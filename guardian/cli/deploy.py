"""`guardian deploy`: ask for a rollout and, with --wait, answer how it went."""

from __future__ import annotations

import getpass
import socket
import time
import uuid
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from guardian.cli.client import Client
from guardian.cli.connect import connect, find_settings
from guardian.cli.exits import ExitCode, Goal, of_phase
from guardian.cli.follow import Watch, follow
from guardian.cli.options import (
    ConfigOption,
    DryRunOption,
    EnvironmentOption,
    OutputOption,
    RegionOption,
    ServerOption,
    ServiceArgument,
    TimeoutOption,
)
from guardian.cli.output import Output, Table, say, show
from guardian.cli.rollouts import leave, tell_why, teller
from guardian.cli.views import rollout_table
from guardian.config.settings import Settings
from guardian.core.deploys import rollout_id
from guardian.core.model import EventRef, Phase
from guardian.errors import CommandError
from guardian.wire.decisions import rfc3339
from guardian.wire.deploy import REQUESTED

Json = dict[str, Any]


class WaitFor(StrEnum):
    """What --wait waits for."""

    PROMOTED = "promoted"
    VERIFIED = "verified"


_GOALS: Final[dict[WaitFor, Goal]] = {WaitFor.PROMOTED: "promoted", WaitFor.VERIFIED: "verified"}


class WaitCommand(TyperCommand):
    """Reads a bare --wait as --wait=promoted: an option with a value that may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give --wait its value, then parse as usual."""
        goals = [goal.value for goal in WaitFor]
        following = [*args[1:], ""]
        full = [
            f"--wait={WaitFor.PROMOTED}" if arg == "--wait" and after not in goals else arg
            for arg, after in zip(args, following, strict=False)  # the last one is followed by nothing
        ]
        return super().parse_args(ctx, full)


COMMAND: Final = WaitCommand
"""Read by guardian.cli.lazy: the class of this module's command."""


def deploy(
    service: ServiceArgument,
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="what is to go out")],
    *,
    environment: EnvironmentOption = None,
    region: RegionOption = "",
    retry: Annotated[bool, typer.Option("--retry", help="also when it was rolled back here lately")] = False,
    wait: Annotated[
        WaitFor | None, typer.Option("--wait", metavar="[promoted|verified]", help="wait, and answer by exit code")
    ] = None,
    policy: Annotated[str | None, typer.Option("--policy", metavar="NAME", help="judge by this policy")] = None,
    commit: Annotated[str, typer.Option("--commit", help="commit of the revision")] = "",
    url: Annotated[str, typer.Option("--url", help="the pipeline's page")] = "",
    timeout: TimeoutOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
    server: ServerOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask the guardian to roll a revision out; with --wait, until it is promoted (or verified) or not."""
    settings = find_settings(config)
    data = {
        "service": service, "environment": environment or _default(settings), "revision": revision, "region": region,
        "policy": policy, "commit": commit, "url": url, "retry": retry, "author": who(),
    }  # fmt: skip
    event = envelope({name: value for name, value in data.items() if value})
    if dry_run:
        show("DeployEvent", event, output, tables=[_event_table(event)])
        return
    with connect(server, config, settings=settings) as client:
        answer = client.send(event)
        rollout = _rollout(client, answer, event)
        if wait is None:
            view = client.rollout(rollout)
            show("Rollout", view, output, tables=[rollout_table(view)])
            code = of_phase(Phase(view["phase"]), "promoted") or ExitCode.YES
            if code is not ExitCode.YES:
                tell_why(client, rollout)
            raise typer.Exit(code)
        say(f"{rollout}: waiting until it is {wait}; `guardian explain {rollout}` says what it waits for")
        leave(client, follow(client, rollout, goal=_GOALS[wait], watch=Watch(timeout=timeout), seen=teller(output)))


def envelope(data: Json) -> Json:
    """Return the CloudEvent of a deploy request; its id makes every repeat of the same command one event."""
    return {
        "specversion": "1.0",
        "id": uuid.uuid4().hex,
        "source": f"guardian-cli/{socket.gethostname()}",
        "type": REQUESTED,
        "subject": data["service"],
        "time": rfc3339(time.time()),
        "datacontenttype": "application/json",
        "data": data,
    }


def who() -> str:
    """Return the name of whoever runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return ""


def _default(settings: Settings | None) -> str:
    found = settings.default_environment if settings is not None else None
    if found is None:
        remedy = "give --environment, or set 'environment:' in guardian.yaml"
        raise CommandError("which environment is not known", where="guardian deploy", remedy=remedy)
    return found


def _rollout(client: Client, answer: Json, event: Json) -> str:
    """Return the rollout the event began, or the one that brings this revision out already."""
    data = event["data"]
    begun = rollout_id(data["service"], EventRef(source=event["source"], id=event["id"]))
    if begun in answer["rollouts"]:  # an earlier one that it superseded is among them, too
        return begun
    place = {name: data.get(name, "") for name in ("service", "environment", "region")}
    running = [one for one in client.rollouts(**place, only_open=True) if one["revision"] == data["revision"]]
    if running:
        say(f"{data['revision']} is going out already as {running[0]['id']}")
        return str(running[0]["id"])
    raise CommandError(
        "the event was taken, and no rollout followed from it",
        where=f"{data['service']} {data['revision']}",
        remedy="; ".join(answer.get("notes", ())) or "see `guardian list`, and the daemon's log",
    )


def _event_table(event: Json) -> Table:
    rows = [(name, value) for name, value in event.items() if name != "data"]
    rows += [(f"data.{name}", value) for name, value in event["data"].items()]
    return Table(columns=("field", "value"), rows=rows, notes=["dry run: nothing was sent"])
