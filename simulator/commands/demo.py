"""`guardian demo`: four releases, judged before your eyes; no broker, no Prometheus, no cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer

from guardian.cli.exits import ExitCode
from guardian.cli.output import Table, console, rich_table
from guardian.config.units import format_duration
from guardian.core.model import Phase
from simulator.counted import Harm
from simulator.demo import SPEED, Ending, Frame, play, scenarios
from simulator.scenario import Scenario
from simulator.world import SLOW

COLUMNS: Final = ("service", "revision", "the world has", "phase", "weight", "what the guardian says")
STYLES: Final = {"verified": "green", "rolled-back": "red", "baking": "cyan"}
NEXT: Final = (
    ("guardian simulate --all", "incidents with known outcome, beside a naive gate"),
    ("guardian check POLICY.yaml", "a policy for your own service; guardian schema for your editor"),
    ("guardian run -c guardian.yaml", "the daemon; then post events with curl, Kafka or guardian deploy"),
)


def demo() -> None:
    """Watch four releases being judged: no broker, no cluster, under a minute."""
    of = scenarios()
    screen = console()
    screen.print(
        f"The real daemon (HTTP, SQLite journal) guards four releases on a simulated platform, in {SPEED:g} x speed.\n"
        f"Mode of their policies: {of[0].policy.mode.value}. The guardian moves the traffic itself.\n",
        markup=False,
    )
    began = time.monotonic()
    with _shown(of) as show:
        endings = asyncio.run(play(of, show))
    screen.print()
    for ending in endings:
        _tell(ending)
    _sum_up(endings, took=time.monotonic() - began)
    raise typer.Exit(ExitCode.YES if all(ending.right for ending in endings) else ExitCode.UNKNOWN)


@contextmanager
def _shown(of: tuple[Scenario, ...]) -> Iterator[Callable[[Frame], None]]:
    """Draw a table again and again on a terminal; print a line for each change otherwise."""
    screen = console()
    if not screen.is_terminal:
        yield _Lines()
        return
    from rich.live import Live  # noqa: PLC0415  only where somebody looks

    with Live(console=screen, auto_refresh=False) as live:
        yield lambda frame: live.update(rich_table(_table(of, frame)), refresh=True)


def _table(of: tuple[Scenario, ...], frame: Frame) -> Table:
    from rich.text import Text  # noqa: PLC0415

    rows: list[tuple[object, ...]] = []
    for one in of:
        item = frame.rollouts.get(one.place.service)
        phase = item["phase"] if item else "-"
        rows.append(
            (
                one.place.service,
                one.spec.deploy.revision,
                one.metadata.title.lower(),
                Text(phase, style=STYLES.get(phase, "")),
                _weight(item) if item else "-",
                _saying(item) if item else "",
            )
        )
    return Table(columns=COLUMNS, rows=rows, title=f"after {format_duration(round(frame.at))}")


def _weight(item: Any) -> str:
    """Return the share of the new revision; it is the canary's until it is stable itself."""
    return "all" if item["phase"] == Phase.VERIFIED else f"{item['weight']['desired']:.0%}"


def _saying(item: Any) -> str:
    """Return the most pressing thing the daemon says of a rollout."""
    if item["cause"]:
        text = item["cause"]["reason"]
    elif item["held"]:
        text = f"held: {item['held']['reason']}"
    elif item["waits"]:
        text = f"waits: {item['waits'][0]}"
    elif item["phase"] == Phase.VERIFIED:
        text = f"{item['revision']} is stable now, with all traffic"
    else:
        text = ""
    return str(text)


class _Lines:
    """Plain lines: one for each change of phase, weight or hold."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[object, ...]] = {}

    def __call__(self, frame: Frame) -> None:
        for service, item in frame.rollouts.items():
            held = item["held"]["reason"] if item["held"] else ""
            now = (item["phase"], _weight(item), held)
            if self._last.get(service) == now:
                continue
            before = self._last.get(service)
            self._last[service] = now
            resumed = "held no longer" if before is not None and before[2] and not held else ""
            said = f"held: {held}" if held else item["cause"]["reason"] if item["cause"] else resumed
            if item["phase"] == Phase.VERIFIED:
                said = f"{item['revision']} is stable now, with all traffic"
            at = format_duration(round(frame.at))
            console().print(f"{at:>8}  {service:9} {item['phase']:13} {_weight(item):>4}  {said}", markup=False)


def _tell(ending: Ending) -> None:
    """Print what happened to one release, and on what evidence."""
    screen = console()
    name = f"{ending.scenario.place.service} {ending.scenario.spec.deploy.revision}"
    mark = "as it should be" if ending.right else "NOT as it should be"
    screen.print(f"{name} - {ending.scenario.metadata.title}: {ending.phase.value}, {mark}", style="bold", markup=False)
    screen.print(f"  The world: {ending.scenario.spec.story.strip()}", markup=False)
    screen.print(f"  The guardian: {ending.explanation['summary']}", markup=False)
    for sentence in ending.evidence if ending.phase is Phase.VERIFIED else ():
        screen.print(f"  Evidence: {sentence}", markup=False)
    saved = _hurt(ending.unguarded) - _hurt(ending.guarded)
    screen.print(
        f"  Users: {ending.guarded.bad:,} requests failed and {ending.guarded.slow:,} took over {SLOW:g} s, of "
        f"{ending.guarded.total:,}; by the clock {ending.unguarded.bad:,} and {ending.unguarded.slow:,}"
        + (f": {saved:,} were saved." if ending.phase is Phase.ROLLED_BACK else "."),
        markup=False,
    )


def _hurt(harm: Harm) -> int:
    """Return requests that failed or were too slow."""
    return harm.bad + harm.slow


def _sum_up(endings: tuple[Ending, ...], *, took: float) -> None:
    screen = console()
    right = sum(ending.right for ending in endings)
    guarded, unguarded = (sum(_hurt(getattr(ending, side)) for ending in endings) for side in ("guarded", "unguarded"))
    screen.print()
    screen.print(
        f"{right} of {len(endings)} verdicts are right, in {took:.0f} s. Requests hurt: {guarded:,} with the guardian, "
        f"{unguarded:,} by the clock; {unguarded - guarded:,} saved.",
        style="bold",
        markup=False,
    )
    screen.print("Where to look next:")
    for command, what in NEXT:
        screen.print(f"  {command:32} {what}", markup=False)
