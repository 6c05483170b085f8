"""HAProxy as a router: weights through the runtime API, and the share it served from its own statistics.

Options: `process` (name in guardian.yaml; the only one when left out), `backend` (default: the service),
`stable` and `canary` (server names, one or a list each; default: stable, canary). Weights set at run time
are forgotten by a reload: `accepted_weight` reads them back each time, so the core sees it. Kept-alive
connections stay on their server until they end. Fencing: none; whoever writes last wins. HAProxy has no
command for several servers: `changes` says what may be seen between the commands of one line.

Source: HAProxy management guide, "Unix Socket commands"; errors come as text in the answer, not as a failure.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterable, Mapping, Sequence
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


def scaled(weight: Weight, *, stable: int, canary: int, now: tuple[int, int] = (LARGEST, 0)) -> tuple[int, int]:
    """Return the weight of each stable and of each canary server that comes closest to this share.

    stable, canary: how many servers. now: the weights that each has; of equally close ones those are taken that move
    the two sides apart and not both up or both down, so that the share does not swing on the way. Weights are as large
    as fits: right after a change HAProxy's turns are truest then. Raises Refused when 0..256 cannot come within a tenth
    of the share (below 0.4 % with one server each).

    >>> scaled(0.1, stable=1, canary=1), scaled(1.0, stable=3, canary=1), scaled(0.25, stable=3, canary=1)
    ((252, 28), (0, 256), (256, 256))
    >>> scaled(0.5, stable=1, canary=1, now=(252, 28)), scaled(0.0, stable=1, canary=1, now=(252, 252))
    ((252, 252), (252, 0))
    """
    if weight <= 0.0:
        return now[0] or LARGEST, 0
    if weight >= 1.0:
        return 0, now[1] or LARGEST
    odds = weight * stable / ((1.0 - weight) * canary)
    pairs = [(one, max(1, min(LARGEST, round(one * odds)))) for one in range(1, LARGEST + 1)]
    errors = [round(abs(share(one * stable, other * canary) - weight), 12) for one, other in pairs]
    best = max(
        (pair for pair, error in zip(pairs, errors, strict=True) if error == min(errors)),
        key=lambda pair: (_apart(now, pair), pair),
    )
    given = share(best[0] * stable, best[1] * canary)
    if abs(given - weight) > CLOSE_ENOUGH * min(weight, 1.0 - weight):
        least, most = share(LARGEST * stable, canary), share(stable, LARGEST * canary)
        raise Refused(
            f"weights of 0..256 cannot make a share of {weight:.3%}; the closest is {given:.3%}",
            where="router haproxy",
            remedy=f"choose a weight between {least:.2%} and {most:.2%}",
        )
    return best


def _apart(now: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether the sides do not both rise or both fall; while the canary is at 0, stable's weight changes nothing."""
    (stable, canary), (to_stable, to_canary) = now, wanted
    return canary == 0 or (to_stable <= stable and to_canary >= canary) or (to_stable >= stable and to_canary <= canary)


def share(stable: float, canary: float) -> float:
    """Return the canary's part of both."""
    return canary / (stable + canary)


def changes(servers: Servers, weight: Weight, now: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return which servers get which weights, in order; none where all is as it should be.

    now: the weight of every server. HAProxy sets one after the other and serves in between, so on the way the canary
    never has more than before or after, and some server always has a weight: what stable gains comes first, what it
    loses last; between them the canary's servers, those that lose weight before those that gain it.
    """
    was = (_common(now, servers.stable), _common(now, servers.canary))
    stable, canary = scaled(weight, stable=len(servers.stable), canary=len(servers.canary), now=was)
    up = [(name, stable) for name in servers.stable if stable > now[name]]
    across = [
        (name, canary) for name in sorted(servers.canary, key=now.__getitem__, reverse=True) if canary != now[name]
    ]
    down = [(name, stable) for name in servers.stable if stable < now[name]]
    return (*up, *across, *down)


def _common(now: Mapping[str, int], names: Sequence[str]) -> int:
    """Return the weight that these servers have; LARGEST when they differ, so that they become equal."""
    found = {now[name] for name in names}
    return found.pop() if len(found) == 1 else LARGEST


def weights_command(servers: Servers, wanted: Iterable[tuple[str, int]]) -> str:
    """Return the line that sets these weights, in this order."""
    return "; ".join(f"set server {servers.backend}/{name} weight {number}" for name, number in wanted)


def read_weights(answer: str, servers: Servers, where: str) -> dict[str, int]:
    """Return each server's weight from `show servers state`: all of one moment."""
    lines = answer.splitlines()
    names = next((line[1:].split() for line in lines if line.startswith("#")), [])
    if not {"srv_name", "srv_uweight"} <= set(names):
        told = answer.strip()
        if not told:
            raise Unavailable("an empty answer", where=where, remedy="check that HAProxy is not just being stopped")
        raise Refused(f"backend {servers.backend}: {told}", where=where, remedy="compare the names with `show stat`")
    rows = [dict(zip(names, line.split(), strict=False)) for line in lines if not line.startswith("#")]
    weights = {row["srv_name"]: int(row["srv_uweight"]) for row in rows if row.get("srv_name") in servers.all}
    absent = [name for name in servers.all if name not in weights]
    if absent:
        what = f"no server '{servers.backend}/{absent[0]}' in `show servers state`"
        raise Refused(what, where=where, remedy="compare the names")
    return weights


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
        """Give both tracks their weights in one line of commands; the answer must be empty. See Router."""
        name, process, servers = self._find(target)
        now = await self._weights(process, servers)
        accepted = _share_of(now, servers)
        same = accepted is not None and abs(accepted - weight) <= SAME
        wanted = changes(servers, weight, now)
        if not same or (name, servers) not in self._before:
            self._before[name, servers] = await self._served(process, servers)
        if same:
            return  # written again, equal weights would disturb whose turn it is
        answer = await ask(process, weights_command(servers, wanted))
        if answer:
            raise Refused(answer, where=process.where, remedy=f"needs `level admin` and {', '.join(servers.all)}")

    async def accepted_weight(self, target: Target) -> Weight:
        """Return the share that the weights in force make. Raises Refused when all are 0."""
        _, process, servers = self._find(target)
        accepted = _share_of(await self._weights(process, servers), servers)
        if accepted is None:
            what = f"all weights of backend {servers.backend} are 0"
            raise Refused(what, where=process.where, remedy="give stable a weight")
        return accepted

    async def _weights(self, process: HaproxyProcess, servers: Servers) -> dict[str, int]:
        return read_weights(await ask(process, f"show servers state {servers.backend}"), servers, process.where)

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


def _share_of(weights: Mapping[str, int], servers: Servers) -> Weight | None:
    stable, canary = (sum(weights[name] for name in track) for track in (servers.stable, servers.canary))
    return Weight(share(stable, canary)) if stable + canary else None


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
