"""Where the real programs are: named by the environment, installed, or in a container image.

Order: the variable GUARDIAN_TEST_<NAME>_BINARY, an installed program, a container engine that answers. The
installed program comes before the engine, because that is the way the tests of this package cover. No way
at all is an error that says what to do, never a reason to skip.

Containers use the host's network and the same absolute paths, so that one command line serves both ways.
This way has not been tried by the authors, for want of an engine; it needs Linux, where the host's network
is loopback's.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.testing.errors import ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program: names it is installed under, its Debian package, its image and its path in there."""

    name: str
    commands: tuple[str, ...]
    package: str
    image: str
    entrypoint: str


PROMETHEUS: Final = Program(
    name="prometheus",
    commands=("prometheus",),
    package="prometheus",
    image="prom/prometheus:v2.55.1",
    entrypoint="/bin/prometheus",
)
PROMTOOL: Final = Program(
    name="promtool",
    commands=("promtool",),
    package="prometheus",
    image="prom/prometheus:v2.55.1",
    entrypoint="/bin/promtool",
)
ALERTMANAGER: Final = Program(
    name="alertmanager",
    commands=("prometheus-alertmanager", "alertmanager"),
    package="prometheus-alertmanager",
    image="prom/alertmanager:v0.28.1",
    entrypoint="/bin/alertmanager",
)
HAPROXY: Final = Program(
    name="haproxy",
    commands=("haproxy",),
    package="haproxy",
    image="haproxy:2.6",
    entrypoint="haproxy",
)
JAVA: Final = Program(
    name="java",
    commands=("java",),
    package="openjdk-17-jre-headless",
    image="apache/kafka:4.3.1",
    entrypoint="java",
)

SYSTEM_FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/bin", "/usr/local/bin")
"""Also searched: an ordinary user's PATH lacks the folders that servers are installed in."""


def installed(program: Program) -> str | None:
    """Path of the program on this machine, or None."""
    variable = f"GUARDIAN_TEST_{program.name.upper()}_BINARY"
    named = os.environ.get(variable)
    if named:
        if os.access(named, os.X_OK):
            return named
        raise ServiceError(f"{named} is not a program", where=variable, remedy="name an executable file")
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    return next((found for name in program.commands if (found := shutil.which(name, path=path))), None)


def command(program: Program, *, folder: Path) -> list[str]:
    """Beginning of a command line that runs the program; `folder` is what it reads and writes."""
    path = installed(program)
    if path is not None:
        return [path]
    if engine_answers():
        return container(program, folder=folder)
    raise ServiceError(
        f"{program.name} is not installed and no container engine answers",
        where="PATH",
        remedy=f"run `make services` (installs the package {program.package}), or set "
        f"GUARDIAN_TEST_{program.name.upper()}_BINARY to the program",
    )


def container(program: Program, *, folder: Path) -> list[str]:
    """Command line that runs the program from its image; the container is named after the folder."""
    return [
        "docker", "run", "--rm", "--network", "host", "--name", container_name(folder),
        "--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{folder}:{folder}", "--workdir", str(folder),
        "--entrypoint", program.entrypoint, program.image,
    ]  # fmt: skip


def container_name(folder: Path) -> str:
    """Name of the container that works in the folder; folders of a run are unique."""
    return f"{folder.parent.name}-{folder.name}"


@functools.cache
def engine_answers() -> bool:
    """Whether a container engine is there and runs. Asked once per process."""
    if shutil.which("docker") is None or os.environ.get("GUARDIAN_TEST_CONTAINERS") == "never":
        return False
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
