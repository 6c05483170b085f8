"""`python -m simulator.testing.services prepare [--only kafka,prometheus,haproxy,kubernetes]`: fetch and build once.

Everything the real services need: system packages, Kafka's jars, the Kubernetes control plane (built from
source, 6 to 12 minutes on two cores). Safe to repeat and to run twice at once; what is up to date is
skipped. `status` says what is there. It starts none of the services.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from simulator.testing.cache import Say
from simulator.testing.errors import ServiceError
from simulator.testing.kafka import install as kafka
from simulator.testing.kubelab import build as kubelab
from simulator.testing.packages import install_missing
from simulator.testing.programs import ALERTMANAGER, HAPROXY, JAVA, PROMETHEUS, Program, installed

BEGAN: Final = time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One choice of --only. programs and tools: what must be installed; make: what else must be done; ready: is it."""

    programs: tuple[Program, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    make: Callable[[Say], object] | None = None
    ready: Callable[[], bool] = lambda: True


SERVICES: Final = {
    "haproxy": Service(programs=(HAPROXY,)),
    "prometheus": Service(programs=(PROMETHEUS, ALERTMANAGER)),
    "kafka": Service(
        programs=(JAVA,),
        tools=(("mvn", "maven"),),
        make=kafka.install,
        ready=lambda: kafka.installation().exists(),
    ),
    "kubernetes": Service(
        tools=(("openssl", "openssl"),), make=kubelab.install, ready=lambda: kubelab.installation().exists()
    ),
}
"""In the order they are prepared: the longest last."""


def say(line: str) -> None:
    """One line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {line}", file=sys.stderr, flush=True)


def prepare(names: list[str]) -> None:
    """Make the named services ready to start."""
    chosen = [service for name, service in SERVICES.items() if name in names]
    install_missing([wanted for service in chosen if not _complete(service) for wanted in _wanted(service)], say)
    for name in SERVICES:
        service = SERVICES[name]
        if name not in names:
            continue
        if service.make is not None:
            service.make(say)
        else:
            say(f"{name}: installed")


def _complete(service: Service) -> bool:
    """Whether nothing is to be done: then the tools that made it may be missing."""
    return all(installed(program) for program in service.programs) and service.ready()


def _wanted(service: Service) -> list[tuple[str, Callable[[], bool]]]:
    programs = [(p.package, lambda p=p: installed(p) is not None) for p in service.programs]
    tools = [(package, lambda t=tool: shutil.which(t) is not None) for tool, package in service.tools]
    return [*programs, *tools]


def main(arguments: list[str]) -> int:
    """Exit code: 0 ready, 1 not (the reason is on stderr), 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="simulator.testing.services", description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("prepare", "status"))
    parser.add_argument("--only", default=",".join(SERVICES), help="comma-separated; default: all")
    chosen = parser.parse_args(arguments)
    names = [name.strip() for name in chosen.only.split(",") if name.strip()]
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; allowed: {', '.join(SERVICES)}")
    try:
        if chosen.command == "prepare":
            prepare(names)
            return 0
        missing = [name for name in names if not _complete(SERVICES[name])]
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in names:
        print(f"{name}: {'missing: run `make services`' if name in missing else 'ready'}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
