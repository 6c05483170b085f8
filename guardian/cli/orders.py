"""`guardian promote, pause, resume, approve, reject, abort, rollback, amend`: orders of a person, with a reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from guardian.cli.connect import connect
from guardian.cli.deploy import who
from guardian.cli.exits import ExitCode
from guardian.cli.options import (
    ConfigOption,
    DryRunOption,
    OutputOption,
    ReasonOption,
    RolloutArgument,
    ServerOption,
    YesOption,
)
from guardian.cli.output import Output, Table, say, show
from guardian.cli.views import facts, line
from guardian.config.policy import load_policy
from guardian.core.facts import Order


def _asked(order: Order, *, help: str) -> Callable[..., None]:  # noqa: A002  read by guardian.cli.lazy
    """Return the command of an order that moves traffic: at a terminal it is asked once more."""

    def give(
        rollout: RolloutArgument, reason: ReasonOption, *, yes: YesOption = False, dry_run: DryRunOption = False,
        output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
    ) -> None:  # fmt: skip
        _give(order, rollout, reason, asks=not yes, dry_run=dry_run, output=output, server=server, config=config)

    give.__doc__ = help
    return give


def _unasked(order: Order, *, help: str) -> Callable[..., None]:  # noqa: A002
    """Return the command of an order that leaves the traffic where it is."""

    def give(
        rollout: RolloutArgument, reason: ReasonOption, *, dry_run: DryRunOption = False,
        output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
    ) -> None:  # fmt: skip
        _give(order, rollout, reason, dry_run=dry_run, output=output, server=server, config=config)

    give.__doc__ = help
    return give


promote = _asked(
    Order.PROMOTE, help="Pass the present step without bake time, sample and verdict; never over a failing guardrail."
)
pause = _unasked(Order.PAUSE, help="Stop the plan where it is; guardrails go on watching.")
resume = _unasked(Order.RESUME, help="Let a paused plan go on.")
approve = _unasked(Order.APPROVE, help="Agree to what waits for approval.")
reject = _unasked(Order.REJECT, help="Refuse what waits for approval.")
abort = _asked(
    Order.ABORT,
    help="Give a rollout up before its promotion; of one that is over or overdue, end what is left to be done.",
)
rollback = _asked(Order.ROLLBACK, help="Send all traffic to the last verified revision, in any phase.")


def amend(
    rollout: RolloutArgument,
    policy: Annotated[Path, typer.Option("--policy", metavar="FILE", help="the tightened policy")],
    reason: ReasonOption, *, dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Judge a running rollout by a policy that is nowhere looser."""
    load_policy(policy)
    text = policy.read_text(encoding="utf-8")
    _give(Order.AMEND, rollout, reason, policy=text, dry_run=dry_run, output=output, server=server, config=config)


def _give(
    order: Order, rollout: str, reason: str, *, output: Output, server: str | None, config: Path | None,
    policy: str = "", asks: bool = False, dry_run: bool = False,
) -> None:  # fmt: skip
    if not reason.strip():
        raise typer.BadParameter("an order needs a reason: it is what others will read", param_hint="--reason")
    with connect(server, config) as client:
        view = client.find(rollout)
        if dry_run:
            say(f"dry run: would {order} {line(view)}")
        elif asks and not _agreed(order, view):
            say("nothing was ordered")
            raise typer.Exit(ExitCode.UNKNOWN)
        else:
            obeyed = client.order(view["id"], order, reason=reason, who=who(), policy=policy)
            view = {**view, **obeyed}
    show("Order", _answer(order, view, dry_run=dry_run), output, tables=[_table(order, view)])


def _agreed(order: Order, view: dict[str, Any]) -> bool:
    """Ask at a terminal; a pipeline has nobody to ask. No answer (end of input, Ctrl-C) is none."""
    if not sys.stdin.isatty():
        return True
    typer.echo(f"{order} {view['id']}?", err=True)
    for name, value in facts(view):
        typer.echo(f"  {name:8} {value}", err=True)
    try:
        return typer.confirm("yes or no", err=True)
    except typer.Abort:  # typer itself would print "Aborted!", beside a command that is called abort
        typer.echo(err=True)
        return False


def _answer(order: Order, view: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    return {"rollout": view["id"], "order": order, "phase": view["phase"], "dry_run": dry_run}


def _table(order: Order, view: dict[str, Any]) -> Table:
    rows = [(view["id"], order, view["phase"])]
    return Table(columns=("rollout", "order", "phase"), rows=rows, styles={"rollout": "cyan", "phase": "bold"})
