"""What the web needs of the daemon, handed in by the composition root; the web imports neither runtime nor adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from guardian.core.engine import Engine
from guardian.core.looks import GuardrailLook
from guardian.core.model import Place, RolloutId
from guardian.core.monitor import Standing
from guardian.core.policy import Guardrail, Policy
from guardian.core.records import Record
from guardian.core.rollout import Rollout
from guardian.ports import Clock, Inbox
from guardian.web.stream import Hub


class Problem(Protocol):
    """Something that is wrong now."""

    @property
    def part(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def blocking(self) -> bool: ...


class Health(Protocol):
    """Whether events can be taken, and what is wrong."""

    @property
    def ready(self) -> bool: ...
    @property
    def problems(self) -> Sequence[Problem]: ...


class Meter(Protocol):
    """The daemon's own metrics."""

    content_type: str

    def render(self) -> bytes: ...
    def refuse(self, way: str, reason: str) -> None: ...


class SampleTaker(Protocol):
    """Takes remote-write requests; raises EventError for what sending again would not help."""

    async def receive(self, body: bytes, *, content_type: str = "", content_encoding: str = "snappy") -> int: ...


class Judged(Protocol):
    """One look at each guardrail, in order, and what made the answer incomplete."""

    @property
    def looks(self) -> Sequence[GuardrailLook]: ...
    @property
    def problems(self) -> Sequence[str]: ...


class Gate(Protocol):
    """Measures and judges a service's guardrails now, without a rollout; raises AdapterError."""

    async def judge(self, place: Place, policy: Policy, guardrails: Sequence[Guardrail]) -> Judged: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One daemon as the web sees it.

    engine: raises Unavailable until the journal is read. history: records of a rollout, oldest first;
    called in a thread. read_policy, read_guardrail: what a user wrote, with where it stands; raise
    PolicyError. unmeasured: why nothing can be measured at a place, "" where something can. measured: stable
    against stable at a rollout's service; None where nobody watches it. takers: none when no environment
    streams its metrics. user_header: header that a trusted proxy sets to who is asking; "" trusts none.
    """

    engine: Callable[[], Engine]
    inbox: Inbox
    clock: Clock
    health: Health
    meter: Meter
    hub: Hub
    gate: Gate
    history: Callable[[RolloutId], tuple[Record, ...]]
    read_policy: Callable[[str], Policy]
    read_guardrail: Callable[[Mapping[str, Any], str], Guardrail]
    unmeasured: Callable[[Place], str]
    measured: Callable[[Rollout], Standing | None]
    takers: Sequence[SampleTaker] = ()
    token: Callable[[], str] | None = None
    body_limit: int = 1024 * 1024
    write_limit: int = 32 * 1024 * 1024
    user_header: str = ""
