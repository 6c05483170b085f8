"""From guardian.yaml's `kafka` to the daemon's way in and way out. aiokafka is imported only when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from guardian import catalog
from guardian.config.settings import Kafka, Settings
from guardian.core.model import Instant
from guardian.ports import EventSource, Received
from guardian.runtime.intake import fallback_of
from guardian.runtime.outbox import Outlet, outlet_of
from guardian.wire import Decoded, decode_event, read_headers

MEMBER: Final = "kafka-member.json"
"""File in the data folder that says which member of the consumer group the daemon is."""


class KafkaLink:
    """Deploy events in and decisions out, over the same brokers."""

    def __init__(self, kafka: Kafka, *, body_limit: int, member: Path) -> None:
        access = access_of(kafka)
        topics = catalog.imported("guardian.adapters.events.kafka:KafkaTopics")(
            events=kafka.topics.events, dead_letter=kafka.topics.dead_letter, group=kafka.group
        )
        self._body_limit = body_limit
        self._source = catalog.imported(catalog.EVENT_SOURCES["kafka"])(
            access, topics=topics, session=kafka.session_timeout, member=member
        )
        self._sink = catalog.imported(catalog.EVENT_SINKS["kafka"])(access, topic=kafka.topics.decisions)

    @property
    def events(self) -> EventSource:
        """Deploy events in."""
        source: EventSource = self._source
        return source

    @property
    def outlet(self) -> Outlet:
        """Decisions out."""
        return outlet_of("kafka", self._sink)

    def decode(self, message: Received, now: Instant) -> Decoded:
        """Read one message. Raises EventError."""
        headers = read_headers(message.headers)
        return decode_event(message.body, headers, received=now, fallback=fallback_of(message), limit=self._body_limit)

    async def close(self) -> None:
        """Leave the group and disconnect."""
        await self._source.close()
        await self._sink.close()


def link_of(settings: Settings) -> KafkaLink | None:
    """Return the link to the brokers of guardian.yaml, None when it names none."""
    if settings.kafka is None:
        return None
    return KafkaLink(settings.kafka, body_limit=settings.limits.body, member=settings.data / MEMBER)


def access_of(kafka: Kafka) -> Any:
    """Return how to connect to the brokers."""
    security = kafka.security
    return catalog.imported("guardian.adapters._kafka:KafkaAccess")(
        bootstrap=tuple(map(str, kafka.bootstrap)),
        client_id=kafka.client_id,
        protocol=security.protocol.value,
        mechanism=security.mechanism.value,
        username=security.username,
        password=security.password.read if security.password else None,
        ca=security.ca,
        certificate=security.certificate,
        key=security.key,
        request_timeout=kafka.request_timeout,
    )
