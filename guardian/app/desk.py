"""What the web is given of the daemon."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from guardian.app.connections import Connections
from guardian.config.fields import Secret
from guardian.config.findings import findings_of
from guardian.config.guardrails import GuardrailConfig
from guardian.config.policy import parse_policy
from guardian.config.settings import Settings
from guardian.config.source import Document
from guardian.core.engine import Engine
from guardian.core.model import Place, RolloutId
from guardian.core.policy import Guardrail, Policy
from guardian.core.records import Record
from guardian.errors import GuardianError, PolicyError, Unavailable
from guardian.ports import Journal
from guardian.runtime.daemon import Daemon, Outside
from guardian.runtime.equipment import Sources
from guardian.runtime.gate import ServiceGate
from guardian.runtime.monitor import Monitor
from guardian.web.desk import Desk
from guardian.web.stream import Hub
from guardian.wire.entry import decode_entry

_READ_AGAIN = 2.0
"""Seconds that a secret is remembered: a rotated one counts soon, and requests do not read files."""


def desk_of(
    settings: Settings,
    daemon: Daemon,
    outside: Outside,
    hub: Hub,
    connections: Connections,
    *,
    monitor: Monitor | None = None,
) -> Desk:
    """Return the web's side of the daemon. monitor: None where it is turned off."""
    return Desk(
        engine=_engine(daemon),
        inbox=daemon.inbox,
        clock=outside.clock,
        health=daemon.health,
        meter=daemon.telemetry,
        hub=hub,
        gate=ServiceGate(sources=outside.sources, clock=outside.clock),
        history=_history(outside.journal),
        read_policy=_read_policy,
        read_guardrail=_read_guardrail,
        unmeasured=_unmeasured(outside.sources),
        measured=monitor.standing if monitor is not None else lambda _: None,
        takers=connections.takers(),
        token=remembered(settings.token) if settings.token is not None else None,
        body_limit=settings.limits.body,
        write_limit=settings.limits.write_body,
        user_header=settings.user_header or "",
    )


def remembered(secret: Secret) -> Callable[[], str]:
    """Return a reader of the secret that does not go to the disk at every call."""
    known, until = "", -1.0

    def read() -> str:
        nonlocal known, until
        now = time.monotonic()
        if now >= until:
            known, until = secret.read(), now + _READ_AGAIN
        return known

    return read


def _engine(daemon: Daemon) -> Callable[[], Engine]:
    def engine() -> Engine:
        if not daemon.recovered.is_set():
            raise Unavailable("the guardian is reading its journal", remedy="ask again in a moment")
        return daemon.engine

    return engine


def _history(journal: Journal) -> Callable[[RolloutId], tuple[Record, ...]]:
    def history(rollout: RolloutId) -> tuple[Record, ...]:
        rows = journal.history(rollout)
        return tuple(record for row in rows for record in decode_entry(row.body, seq=row.seq).records)

    return history


def _unmeasured(sources: Sources) -> Callable[[Place], str]:
    def unmeasured(place: Place) -> str:
        try:
            source = sources(place)
        except GuardianError as error:
            return str(error)
        if source is not None:
            return ""
        what = f"no metrics are configured for environment '{place.environment}', so no guardrail can be judged"
        return f"{what}; add environments.{place.environment}.metrics to guardian.yaml and start the daemon again"

    return unmeasured


def _read_policy(text: str) -> Policy:
    return parse_policy(text, file="policy")


def _read_guardrail(written: Mapping[str, Any], where: str) -> Guardrail:
    try:
        return GuardrailConfig.model_validate(dict(written)).to_core()
    except ValidationError as error:
        document = Document(file=where, data=dict(written), values={(): (1, 1)})
        first = findings_of(error, document, GuardrailConfig)[0]
        raise PolicyError(first.what, where=where, remedy=first.remedy) from None
