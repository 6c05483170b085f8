"""How soon the command answers and the daemon is ready, and what memory it takes then; medians of `repeat` starts."""

from __future__ import annotations

import time
from statistics import median
from typing import Final

from benchmarks.load.bare import running_bare
from benchmarks.load.daemon import memory_of, running_daemon
from benchmarks.load.report import Figure, Found, Load
from benchmarks.speed.help import seconds_of
from simulator.testing.run import ServiceRun


def measure(run: ServiceRun, repeat: int) -> Found:
    """Help, daemon and references in turn."""
    took: dict[str, list[float]] = {"help": [], "typer": [], "ready": [], "bare": [], "rss": [], "bare rss": []}
    for _ in range(repeat):
        took["help"].append(seconds_of("-m", "guardian", "--help"))
        took["typer"].append(seconds_of("-c", "import typer"))
        with running_daemon(run) as daemon:
            began = time.perf_counter()
            daemon.start()
            took["ready"].append(time.perf_counter() - began)
            took["rss"].append(memory_of(daemon.server.pid))
        began = time.perf_counter()
        with running_bare(run) as (_, server):
            took["bare"].append(time.perf_counter() - began)
            took["bare rss"].append(memory_of(server.pid))
    middle = {name: median(values) for name, values in took.items()}
    bare = "bare FastAPI application"

    def figure(name: str, key: str, unit: str, limit: float, reference: str, reference_key: str) -> Figure:
        return Figure(
            name=name,
            value=middle[key],
            unit=unit,
            limit=limit,
            reference=reference,
            reference_value=middle[reference_key],
        )

    figures = [
        figure("guardian --help", "help", "s", 0.4, "python importing typer", "typer"),
        figure("daemon ready", "ready", "s", 2.0, bare, "bare"),
        figure("daemon's resident memory", "rss", "MB", 150.0, bare, "bare rss"),
    ]
    return Found(figures=figures, detail={name: [round(one, 3) for one in values] for name, values in took.items()})


LOAD: Final = Load(
    name="startup",
    claim="guardian --help < 0.4 s, daemon ready < 2 s and < 150 MB",
    measure=measure,
    repeat=7,
)
