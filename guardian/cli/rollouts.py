"""`guardian list`, `status`: looking at rollouts."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated, Any

import typer

from guardian.cli.client import Client
from guardian.cli.connect import connect
from guardian.cli.exits import ExitCode
from guardian.cli.follow import Outcome, Watch, changed, follow
from guardian.cli.options import (
    ConfigOption,
    EnvironmentOption,
    OutputOption,
    RegionOption,
    ServerOption,
    TimeoutOption,
    WatchOption,
)
from guardian.cli.output import Output, say, show, show_error, show_line
from guardian.cli.views import line, rollout_table, rollouts_table
from guardian.core.model import Phase
from guardian.errors import Unavailable

Json = dict[str, Any]
MaybeRollout = Annotated[
    str | None, typer.Argument(metavar="[ROLLOUT]", help="id, start of one, or service; none: all open ones")
]


def list_rollouts(
    *,
    service: Annotated[str, typer.Option("--service", help="of this service only")] = "",
    environment: EnvironmentOption = None,
    region: RegionOption = "",
    phase: Annotated[list[Phase] | None, typer.Option("--phase", help="in this phase; may be repeated")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="only those that have not ended")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="at most so many")] = 50,
    output: OutputOption = Output.TABLE,
    server: ServerOption = None,
    config: ConfigOption = None,
) -> None:
    """List rollouts, newest first."""
    with connect(server, config) as client:
        found = client.rollouts(
            service=service,
            environment=environment or "",
            region=region,
            phases=[one.value for one in phase or ()],
            only_open=only_open,
            limit=limit,
        )
    show("RolloutList", found, output, tables=[rollouts_table(found)])


def status(
    rollout: MaybeRollout = None,
    *,
    watch: WatchOption = False,
    timeout: TimeoutOption = None,
    output: OutputOption = Output.TABLE,
    server: ServerOption = None,
    config: ConfigOption = None,
) -> None:
    """Show one rollout, or all that are open; with --watch, until it is promoted or rolled back."""
    with connect(server, config) as client:
        if rollout is None:
            if watch:
                watch_all(client, Watch(timeout=timeout), output)
            found = client.rollouts(only_open=True, limit=1000)
            show("RolloutList", found, output, tables=[rollouts_table(found)])
            return
        view = client.find(rollout)
        if not watch:
            # for people: evidence as it stands, as explain tells it; what the rollout keeps is that of the last verdict
            asks = output in {Output.TABLE, Output.MARKDOWN} and view["evidence"] and not view["ended_at"]
            told = client.explanation(view["id"]) if asks else None
            show("Rollout", view, output, tables=[rollout_table(view, told)])
            return
        outcome = follow(client, view["id"], goal="promoted", watch=Watch(timeout=timeout), seen=teller(output))
        leave(client, outcome)


def teller(output: Output) -> Any:
    """Return what prints each change of a rollout: one line, or one JSON object a line."""

    def tell(view: Json) -> None:
        if output is Output.TABLE:
            print(f"{time.strftime('%H:%M:%S')}  {line(view)}", flush=True)
        elif output is Output.JSON:
            show_line("Rollout", view)
        else:
            show("Rollout", view, output, tables=[rollout_table(view)])

    return tell


def watch_all(client: Client, watch: Watch, output: Output) -> None:
    """Print each change of any open rollout until the time is up."""
    began, known, tell = watch.now(), dict[str, Json](), teller(output)
    while watch.timeout is None or watch.now() - began < watch.timeout:
        fresh = {one["id"]: one for one in client.rollouts(only_open=True, limit=1000)}
        ended = [client.rollout(gone) for gone in known.keys() - fresh.keys()]
        for view in (*ended, *fresh.values()):
            if changed(known.get(view["id"]), view):
                tell(view)
        known = fresh
        watch.sleep(watch.every)
    raise typer.Exit(ExitCode.TIMEOUT)


def leave(client: Client, outcome: Outcome) -> None:
    """Leave with the outcome's code; why it is not "yes" is told first."""
    if outcome.view is not None and outcome.code in {ExitCode.NO, ExitCode.UNDECIDED, ExitCode.UNKNOWN}:
        tell_why(client, str(outcome.view["id"]))
    if outcome.lost is not None:
        show_error(
            Unavailable(
                f"the connection was lost and did not come back: {outcome.lost.what}",
                where=outcome.lost.where,
                remedy="the rollout goes on without this command; ask again with `guardian status --watch`",
            )
        )
    raise typer.Exit(outcome.code)


def tell_why(client: Client, rollout: str) -> None:
    """Tell the last sentences of a rollout's history; a daemon that is gone cannot be asked."""
    with suppress(Unavailable):
        for sentence in client.explanation(rollout)["history"][-2:]:
            say(sentence)
