"""HAProxy as a router: weights through the runtime API, and the share it served from its own statistics.

Options: `process` (name in guardian.yaml; the only one when left out), `backend` (default: the service),
`stable` and `canary` (server names, one or a list each; default: stable, canary). Weights set at run time
are forgotten by a reload: `accepted_weight` reads them back each time, so the core sees it. Kept-alive
connections stay on their server until they end. Fencing: none; whoever writes last wins.

Source: HAProxy management guide, "Unix Socket commands"; errors come as text in the answer, not as a failure.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guardian.adapters import _options
from guardian.core.model import Ratio, Seconds, Share, Weight
from guardian.errors import Refused, Unavailable
from guardian.ports import Target

LARGEST: Final = 256
"""HAProxy's largest weight."""
CLOSE_ENOUGH: Final = 0.1
"""Relative error of a share that can still pass for the one ordered."""
SAME: Final = 0.0005
"""Shares closer than this are the same."""
ANSWER_LIMIT: Final = 16 * 1024 * 1024
DEADLINE: Final = Seconds(5.0)
OPTIONS: Final = ("process", "backend", "stable", "canary")


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxyProcess:
    """Where the runtime API of one HAProxy process is: a unix socket, or host and port."""

    socket: Path | None = None
    tcp: tuple[str, int] | None = None
    timeout: Seconds = DEADLINE

    @property
    def where(self) -> str:
        """The address, for texts."""
        return f"haproxy {self.socket or ':'.join(map(str, self.tcp or ()))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers of both tracks in one backend."""

    backend: str
    stable: tuple[str, ...]
    canary: tuple[str, ...]

    def __post_init__(self) -> None:
        both = sorted(set(self.stable) & set(self.canary))
        if both:
            raise Refused(
                f"server '{both[0]}' is stable and canary", where=f"backend {self.backend}", remedy="name each once"
            )

    @property
    def all(self) -> tuple[str, ...]:
        return self.stable + self.canary


def servers_of(target: Target) -> Servers:
    """Return the servers that a target's options name."""
    _options.allowed(target, OPTIONS, kind="router haproxy")
    return Servers(
        backend=_options.text(target, "backend", target.place.service),
        stable=_options.texts(target, "stable", "stable"),
        canary=_options.texts(target, "canary", "canary"),
    )


def scaled(weight: Weight, *, stable: int, canary: int) -> tuple[int, int]:
    """Return the weight of each stable and of each canary server that comes closest to this share.

    stable, canary: how many servers. Weights are as large as fits: right after a change HAProxy's turns are
    truest then. Raises Refused when 0..256 cannot come within a tenth of the share (below 0.4 % with one
    server each).

    >>> scaled(0.1, stable=1, canary=1), scaled(1.0, stable=3, canary=1), scaled(0.25, stable=3, canary=1)
    ((252, 28), (0, 256), (256, 256))
    """
    if weight <= 0.0:
        return LARGEST, 0
    if weight >= 1.0:
        return 0, LARGEST
    odds = weight * stable / ((1.0 - weight) * canary)
    best = min(
        ((one, max(1, min(LARGEST, round(one * odds)))) for one in range(1, LARGEST + 1)),
        key=lambda pair: (round(abs(share(pair[0] * stable, pair[1] * canary) - weight), 12), pair[0]),
    )
    given = share(best[0] * stable, best[1] * canary)
    if abs(given - weight) > CLOSE_ENOUGH * min(weight, 1.0 - weight):
        least, most = share(LARGEST * stable, canary), share(stable, LARGEST * canary)
        raise Refused(
            f"weights of 0..256 cannot make a share of {weight:.3%}; the closest is {given:.3%}",
            where="router haproxy",
            remedy=f"choose a weight between {least:.2%} and {most:.2%}",
        )
    larger = LARGEST // max(best)
    return best[0] * larger, best[1] * larger


def share(stable: float, canary: float) -> float:
    """Return the canary's part of both."""
    return canary / (stable + canary)


def weights_command(servers: Servers, weight: Weight) -> str:
    """Return the command that sets both tracks' weights at once."""
    stable, canary = scaled(weight, stable=len(servers.stable), canary=len(servers.canary))
    wanted = [(name, canary) for name in servers.canary] + [(name, stable) for name in servers.stable]
    return "; ".join(f"set server {servers.backend}/{name} weight {number}" for name, number in wanted)


def read_weight(answer: str, name: str, where: str) -> int:
    """Return the weight in the answer to `get weight`, such as `25 (initial 0)`."""
    first = answer.split(maxsplit=1)[:1]
    if first and first[0].isdigit():
        return int(first[0])
    raise Refused(
        f"server {name}: {answer or 'no answer'}",
        where=where,
        remedy="compare backend and server names with `show stat`",
    )


def read_served(answer: str, servers: Servers, where: str) -> dict[str, int]:
    """Return the sessions each server was given since HAProxy started, from `show stat` (CSV)."""
    table = csv.DictReader(answer.removeprefix("# ").splitlines())
    served = {
        row["svname"]: int(row["stot"] or 0)
        for row in table
        if row.get("pxname") == servers.backend and row["svname"] in servers.all
    }
    absent = [name for name in servers.all if name not in served]
    if absent:
        raise Refused(
            f"no server '{servers.backend}/{absent[0]}' in `show stat`", where=where, remedy="compare the names"
        )
    return served


class HaproxyRouter:
    """Router over the runtime API of HAProxy processes, by their names in guardian.yaml."""

    def __init__(self, processes: Mapping[str, HaproxyProcess]) -> None:
        self._processes = dict(processes)
        self._before: dict[tuple[str, Servers], dict[str, int]] = {}

    async def set_weight(self, target: Target, weight: Weight) -> None:
        """Give both tracks their weights in one command; the answer must be empty. See Router."""
        name, process, servers = self._find(target)
        command = weights_command(servers, weight)
        accepted = await self._accepted(process, servers)
        same = accepted is not None and abs(accepted - weight) <= SAME
        if not same or (name, servers) not in self._before:
            self._before[name, servers] = await self._served(process, servers)
        if same:
            return  # written again, equal weights would disturb whose turn it is
        answer = await ask(process, command)
        if answer:
            raise Refused(answer, where=process.where, remedy=f"needs `level admin` and {', '.join(servers.all)}")

    async def accepted_weight(self, target: Target) -> Weight:
        """Return the share that the weights in force make. Raises Refused when all are 0."""
        _, process, servers = self._find(target)
        accepted = await self._accepted(process, servers)
        if accepted is None:
            what = f"all weights of backend {servers.backend} are 0"
            raise Refused(what, where=process.where, remedy="give stable a weight")
        return accepted

    async def _accepted(self, process: HaproxyProcess, servers: Servers) -> Weight | None:
        weights = {}
        for name in servers.all:
            server = f"{servers.backend}/{name}"
            weights[name] = read_weight(await ask(process, f"get weight {server}"), server, process.where)
        stable, canary = (sum(weights[name] for name in track) for track in (servers.stable, servers.canary))
        return Weight(share(stable, canary)) if stable + canary else None

    async def observed_share(self, target: Target) -> Share | None:
        """Return the canary's share of requests since the last change of weights seen here; None before any.

        Counters that fell (HAProxy was restarted) count from 0.
        """
        name, process, servers = self._find(target)
        now = await self._served(process, servers)
        before = self._before.setdefault((name, servers), now)
        if any(now[server] < before[server] for server in servers.all):
            before = self._before[name, servers] = dict.fromkeys(servers.all, 0)
        stable, canary = (
            sum(now[server] - before[server] for server in track) for track in (servers.stable, servers.canary)
        )
        if stable + canary == 0:
            return None
        return Share(share=Ratio(share(stable, canary)), requests=float(stable + canary))

    async def _served(self, process: HaproxyProcess, servers: Servers) -> dict[str, int]:
        return read_served(await ask(process, f"show stat {servers.backend} 4 -1"), servers, process.where)

    def _find(self, target: Target) -> tuple[str, HaproxyProcess, Servers]:
        servers = servers_of(target)
        only = next(iter(self._processes)) if len(self._processes) == 1 else None
        name = _options.text(target, "process", only)
        if name not in self._processes:
            raise Refused(
                f"there is no HAProxy process '{name}'",
                where=str(target.place),
                remedy=f"add it under haproxy: of the environment; known: {', '.join(self._processes) or 'none'}",
            )
        return name, self._processes[name], servers


async def ask(process: HaproxyProcess, command: str) -> str:
    """Send one line to the runtime API and return the answer, without its last line ends."""
    try:
        async with asyncio.timeout(process.timeout):
            return await _ask(process, command)
    except TimeoutError as error:
        raise Unavailable(
            f"no answer within {process.timeout:g} s", where=process.where, remedy="check that HAProxy is not frozen"
        ) from error
    except PermissionError as error:
        raise Refused(str(error), where=process.where, remedy="let the guardian's user write to the socket") from error
    except (OSError, asyncio.IncompleteReadError) as error:
        raise Unavailable(
            f"no connection: {error}", where=process.where, remedy="check that HAProxy runs, and its stats socket"
        ) from error


async def _ask(process: HaproxyProcess, command: str) -> str:
    if process.socket is not None:
        reader, writer = await asyncio.open_unix_connection(process.socket)
    else:
        host, port = process.tcp or ("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"{command}\n".encode())
        await writer.drain()
        parts: list[bytes] = []
        while part := await reader.read(65_536):
            parts.append(part)
            if sum(map(len, parts)) > ANSWER_LIMIT:
                raise Refused("the answer has no end", where=process.where, remedy="check what listens there")
        return b"".join(parts).decode("utf-8", "replace").strip()
    finally:
        writer.close()
