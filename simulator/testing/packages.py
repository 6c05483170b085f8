"""Install what the tests need from the system's packages, where that is possible: Debian and its relatives, as root.

It says what it installs before it does. The services of these packages are kept from starting: tests start
their own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from simulator.testing.cache import Say, root, step
from simulator.testing.errors import ServiceError
from simulator.testing.run import exclusive

POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""Asked by package scripts before they start a service; code 101 forbids it."""


def install_missing(wanted: Sequence[tuple[str, Callable[[], bool]]], say: Say) -> None:
    """Install the packages whose program is absent. wanted: package, and whether its program is there."""
    with exclusive(root() / "packages.lock"):
        missing = sorted({package for package, present in wanted if not present()})
        if not missing:
            return
        prefix = _as_root(missing)
        log = root() / "packages.log"
        log.unlink(missing_ok=True)
        say(f"packages: installing {', '.join(missing)} with apt-get (log: {log})")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
        remedy = f"see {log}; install them by hand: apt-get install {' '.join(missing)}"
        with _no_services(prefix):
            step([*apt, "update"], cwd=root(), log=log, env=quiet, remedy=remedy)
            arguments = ["install", "-y", "--no-install-recommends", *missing]
            step([*apt, *arguments], cwd=root(), log=log, env=quiet, remedy=remedy)
        say(f"packages: installed {', '.join(missing)}")


def _as_root(missing: Sequence[str]) -> list[str]:
    """What to put before a command to run it as root."""
    names = " ".join(missing)
    if shutil.which("apt-get") is None:
        raise ServiceError(
            f"missing: {names}; this system has no apt-get",
            where="PATH",
            remedy="install these programs with your package manager, or start a container engine",
        )
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    raise ServiceError(
        f"missing: {names}; installing them needs root",
        where="apt-get",
        remedy=f"run `sudo apt-get install --no-install-recommends {names}`, then again",
    )


@contextlib.contextmanager
def _no_services(prefix: Sequence[str]) -> Iterator[None]:
    """Forbid package scripts to start services, unless the machine has a rule of its own about that."""
    if POLICY.exists():
        yield
        return
    subprocess.run([*prefix, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY}"], check=True)
    subprocess.run([*prefix, "chmod", "755", str(POLICY)], check=True)
    try:
        yield
    finally:
        subprocess.run([*prefix, "rm", "-f", str(POLICY)], check=True)
