"""`guardian promote, pause, resume, approve, reject, abort, rollback, amend`: orders of a person, with a reason."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

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
from guardian.cli.views import line
from guardian.config.policy import load_policy
from guardian.core.facts import Order

ASKED: Final = frozenset({Order.PROMOTE, Order.ABORT, Order.ROLLBACK})
"""Orders that move traffic: at a terminal they are asked once more."""


def promote(
    rollout: RolloutArgument, reason: ReasonOption, *, yes: YesOption = False, dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Pass the present step without bake time, sample and verdict; never over a failing guardrail."""
    _give(Order.PROMOTE, rollout, reason, yes=yes, dry_run=dry_run, output=output, server=server, config=config)


def pause(
    rollout: RolloutArgument, reason: ReasonOption, *, dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Stop the plan where it is; guardrails go on watching."""
    _give(Order.PAUSE, rollout, reason, dry_run=dry_run, output=output, server=server, config=config)


def resume(
    rollout: RolloutArgument, reason: ReasonOption, *, dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Let a paused plan go on."""
    _give(Order.RESUME, rollout, reason, dry_run=dry_run, output=output, server=server, config=config)


def approve(
    rollout: RolloutArgument, reason: ReasonOption, *, dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Agree to what waits for approval."""
    _give(Order.APPROVE, rollout, reason, dry_run=dry_run, output=output, server=server, config=config)


def reject(
    rollout: RolloutArgument, reason: ReasonOption, *, dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Refuse what waits for approval."""
    _give(Order.REJECT, rollout, reason, dry_run=dry_run, output=output, server=server, config=config)


def abort(
    rollout: RolloutArgument, reason: ReasonOption, *, yes: YesOption = False, dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Give a rollout up before its promotion: all traffic to the last verified revision."""
    _give(Order.ABORT, rollout, reason, yes=yes, dry_run=dry_run, output=output, server=server, config=config)


def rollback(
    rollout: RolloutArgument, reason: ReasonOption, *, yes: YesOption = False, dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Send all traffic to the last verified revision, in any phase."""
    _give(Order.ROLLBACK, rollout, reason, yes=yes, dry_run=dry_run, output=output, server=server, config=config)


def amend(
    rollout: RolloutArgument,
    policy: Annotated[Path, typer.Option("--policy", metavar="FILE", help="the tightened policy")],
    reason: ReasonOption, *, dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE, server: ServerOption = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Judge a running rollout by a policy that is nowhere looser."""
    load_policy(policy)
    text = policy.read_text(encoding="utf-8")
    _give(
        Order.AMEND, rollout, reason, policy=text, dry_run=dry_run, output=output, server=server, config=config
    )  # fmt: skip


def _give(
    order: Order, rollout: str, reason: str, *, output: Output, server: str | None, config: Path | None,
    policy: str = "", yes: bool = True, dry_run: bool = False,
) -> None:  # fmt: skip
    if not reason.strip():
        raise typer.BadParameter("an order needs a reason: it is what others will read", param_hint="--reason")
    with connect(server, config) as client:
        view = client.find(rollout)
        if dry_run:
            say(f"dry run: would {order} {line(view)}")
        elif (
            order in ASKED and not yes and sys.stdin.isatty() and not typer.confirm(f"{order} {line(view)}?", err=True)
        ):
            raise typer.Exit(ExitCode.UNKNOWN)
        else:
            obeyed = client.order(view["id"], order, reason=reason, who=who(), policy=policy)
            view = {**view, **obeyed}
    show("Order", _answer(order, view, dry_run=dry_run), output, tables=[_table(order, view)])


def _agreed(order: Order, view: dict[str, Any]) -> bool:
    """Ask at a terminal; a pipeline has nobody to ask."""
    return not sys.stdin.isatty() or typer.confirm(f"{order} {line(view)}?", err=True)


def _answer(order: Order, view: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    return {"rollout": view["id"], "order": order, "phase": view["phase"], "dry_run": dry_run}


def _table(order: Order, view: dict[str, Any]) -> Table:
    rows = [(view["id"], order, view["phase"])]
    return Table(columns=("rollout", "order", "phase"), rows=rows, styles={"rollout": "cyan", "phase": "bold"})
