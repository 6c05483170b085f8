"""`guardian simulate --watch`: one run while it is played, as a picture on a terminal or as lines in a pipe."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from guardian.cli.exits import ExitCode
from guardian.cli.output import console
from guardian.core.sentences import duration
from guardian.errors import ConfigError
from simulator.commands.frame import DRAWN, PLAIN, figures, frame, moment, reason, standing, told, weights_of_evidence
from simulator.commands.pictures import title
from simulator.outcome import compare
from simulator.scenario import Scenario
from simulator.trace import Tracing

ENDED_BY: Final = 128
"""Exit code of what a signal ended, less its number, as shells have it."""
_STOPS: Final = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what a job runner sends: neither may leave the terminal without a cursor, on a page of its own."""
FASTEST: Final = "max"
USUAL: Final = 60.0
"""Seconds in which a whole run passes on a terminal when nothing else is said."""
_FRAME: Final = 0.25
"""Seconds between two pictures; while it is played as fast as possible at least so many."""
_MINUTE: Final = 60.0


def parse_speed(written: str | None, scenario: Scenario, *, live: bool) -> float:
    """Return seconds of the run in one second, inf for as fast as possible. live: whether somebody looks on.

    Raises ConfigError.
    """
    if written is None:
        return max(scenario.horizon / USUAL, 1.0) if live else math.inf
    if written == FASTEST:
        return math.inf
    try:
        speed = float(written.removesuffix("x"))
    except ValueError:
        speed = math.nan
    if not 0.0 < speed < math.inf:
        raise ConfigError(f"--speed {written} is no speed", remedy=f"write 30 for thirty times real time, or {FASTEST}")
    return speed


def watch(scenario: Scenario, seed: int, *, speed: str | None) -> int:
    """Play one seed where everybody can see it; return the exit code: YES where it came out right, else NO."""
    live = sys.stdout.isatty()
    fast = parse_speed(speed, scenario, live=live)
    tracing: Tracing | None = None
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        with _waiting(f"{scenario.name}: playing the {duration(scenario.spec.history)} before the deploy event"):
            tracing = Tracing(scenario, seed)
        with _interruptible() as interrupted:
            (_on_screen if live else _in_lines)(tracing, fast, interrupted)
        if (came := interrupted()) is None:
            outcome = compare(scenario, tracing.simulation.result())
            print(title(outcome))
            return ExitCode.YES if outcome.ok else ExitCode.NO
        number = came
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
    print(_so_far(tracing))
    return ENDED_BY + number


def _as_interrupt(number: int, _: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(number))


def _so_far(tracing: Tracing | None) -> str:
    """Say what had been decided when somebody ended it."""
    if tracing is None:
        return "interrupted before the deploy event"
    decided = next(
        (one for one in tracing.simulation.seen if one.event in {"rollback", "promote"} and not one.of), None
    )
    verdict = "nothing was decided" if decided is None else f"{decided.event} after {moment(tracing, decided)}"
    return (
        f"{tracing.scenario.name}, seed {tracing.simulation.seed}: interrupted after {duration(tracing.now)}; "
        f"{verdict}; {standing(tracing)}"
    )


def _on_screen(tracing: Tracing, speed: float, interrupted: Callable[[], signal.Signals | None]) -> None:
    """Draw it again and again on a page of its own; what stood there last stays on the terminal."""
    from rich.console import Group  # noqa: PLC0415  only where somebody looks
    from rich.live import Live  # noqa: PLC0415

    screen = console()
    rate = "as fast as possible" if math.isinf(speed) else f"x{speed:.3g}"
    marks = PLAIN if screen.options.ascii_only else DRAWN
    pace = _Pace(speed)
    step = speed * _FRAME if math.isfinite(speed) else tracing.simulation.world.every

    def picture() -> Group:
        return Group(*frame(tracing, width=screen.width, height=screen.height, speed=rate, marks=marks))

    with Live(console=screen, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as view:

        def beat() -> None:
            if interrupted():
                tracing.simulation.end()
            if pace.passed(step):
                view.update(picture(), refresh=True)

        tracing.every(step, beat)
        view.update(picture(), refresh=True)
        tracing.simulation.go()
        last = picture()
    screen.print(last)


def _in_lines(tracing: Tracing, speed: float, interrupted: Callable[[], signal.Signals | None]) -> None:
    """Print a line for every decision and for every minute of the run."""
    pace, step = _Pace(speed), 1.0
    printed, minute = 0, -1

    def decisions() -> None:
        nonlocal printed
        for one in tracing.simulation.seen[printed:]:
            _line(moment(tracing, one), reason(one))
            printed += 1

    def beat() -> None:
        nonlocal minute
        if interrupted():
            tracing.simulation.end()
        pace.passed(step)
        decisions()
        if tracing.simulation.world.shift is not None and tracing.now // _MINUTE > minute:
            minute = int(tracing.now // _MINUTE)
            _line(duration(minute * _MINUTE), _minute(tracing))

    tracing.every(step, beat)
    tracing.simulation.go()
    decisions()


def _line(at: str, text: str) -> None:
    print(f"{at:>12}  {text}", flush=True)


def _minute(tracing: Tracing) -> str:
    """Say in a line how it stands."""
    tracks = "; ".join(
        f"{track} no data" if rate == "-" else f"{track} {rate}, {errors} failed, p95 {slow}"
        for track, (rate, errors, slow) in figures(tracing).items()
    )
    evidence = "; ".join(
        f"{side} ({name}) {told(value)} of {needed:,.0f}"
        for name, side, value, needed in weights_of_evidence(tracing.course())
    )
    return f"{standing(tracing)}; {tracks}; evidence: {evidence or 'none yet'}"


class _Pace:
    """Keeps time: `speed` seconds of a run in one second. A run that cannot keep up is not hurried afterwards."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._due = self._drawn = time.monotonic()

    def passed(self, step: float) -> bool:
        """Wait until `step` seconds of the run have passed; return whether it is time for another picture."""
        if math.isfinite(self._speed):
            self._due = max(self._due + step / self._speed, time.monotonic() - _FRAME)
            time.sleep(max(0.0, self._due - time.monotonic()))
        elif time.monotonic() - self._drawn < _FRAME:
            return False
        self._drawn = time.monotonic()
        return True


@contextmanager
def _interruptible() -> Iterator[Callable[[], signal.Signals | None]]:
    """Give what says which signal came: the run ends at its next beat. A second one ends everything."""
    came: signal.Signals | None = None
    before = {stop: signal.getsignal(stop) for stop in _STOPS}

    def restore() -> None:
        for stop, handler in before.items():
            signal.signal(stop, handler)

    def note(number: int, _: Any) -> None:
        nonlocal came
        came = signal.Signals(number)
        restore()

    for stop in _STOPS:
        signal.signal(stop, note)
    try:
        yield lambda: came
    finally:
        restore()


@contextmanager
def _waiting(text: str) -> Iterator[None]:
    """Say what is waited for, where somebody looks."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    with screen.status(text):
        yield
