"""What reader and writer of Kafka share: how to connect, errors in our terms, and remedies for aiokafka 0.14.

aiokafka retries metadata without a pause while brokers stop gracefully (18,000 log lines in 4 s, most of a
core); `calmed` puts a pause in, `limit_logs` bounds its log. An outage raises nothing there, so callers
keep a deadline.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaProducer, errors

from guardian.errors import AdapterError, GuardianError, Refused, Unavailable

T = TypeVar("T")

METADATA_PAUSE: Final = 0.25
LOGS: Final = 5
"""Lines that each logger of aiokafka may write in LOGS_PERIOD seconds."""
LOGS_PERIOD: Final = 10.0
STOP_DEADLINE: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """Where the brokers are and how we prove who we are. password is read at each connection."""

    bootstrap: tuple[str, ...]
    client_id: str = "slo-guardian"
    protocol: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str | None = None
    password: Callable[[], str] | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    request_timeout: float = 30.0

    @property
    def where(self) -> str:
        """The brokers, for texts."""
        return "kafka " + ",".join(self.bootstrap)

    def options(self) -> dict[str, Any]:
        """Return what consumer and producer of aiokafka have in common. Raises Refused: a file cannot be read."""
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.bootstrap),
            "client_id": self.client_id,
            "request_timeout_ms": int(self.request_timeout * 1000),
            "security_protocol": self.protocol,
        }
        try:
            if self.protocol.endswith("SSL"):
                options["ssl_context"] = self._tls()
            if self.protocol.startswith("SASL"):
                options["sasl_mechanism"] = self.mechanism
                options["sasl_plain_username"] = self.username
                options["sasl_plain_password"] = self.password() if self.password is not None else None
        except (OSError, GuardianError) as error:
            remedy = "check the files and secrets of kafka.security in guardian.yaml"
            raise Refused(str(error), where=self.where, remedy=remedy) from error
        return options

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca) if self.ca is not None else None)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


def calmed(client: Any) -> None:
    """Have aiokafka's client pause after metadata could not be had."""
    update = client._metadata_update  # noqa: SLF001  no public place to put the pause

    async def paused_update(*arguments: Any) -> bool:
        updated: bool = await update(*arguments)
        if not updated:
            await asyncio.sleep(METADATA_PAUSE)
        return updated

    client._metadata_update = paused_update  # noqa: SLF001


class _FewLines(logging.Filter):
    """Lets a few lines of one logger through per period, and says how many it kept back."""

    def __init__(self) -> None:
        super().__init__()
        self._since, self._passed, self._kept_back = 0.0, 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._since > LOGS_PERIOD:
            if self._kept_back:
                record.msg = f"{record.msg} ({self._kept_back} lines before this one were kept back)"
            self._since, self._passed, self._kept_back = now, 0, 0
        self._passed += 1
        if self._passed > LOGS and record.levelno < logging.CRITICAL:
            self._kept_back += 1
            return False
        return True


def limit_logs() -> None:
    """Bound what aiokafka's loggers write. Calling it again changes nothing."""
    loggers = [
        logger
        for name, logger in list(logging.Logger.manager.loggerDict.items())
        if name.startswith("aiokafka") and isinstance(logger, logging.Logger)
    ]
    for logger in loggers:
        if not any(isinstance(one, _FewLines) for one in logger.filters):
            logger.addFilter(_FewLines())


async def stopped(client: Any) -> None:
    """Stop a consumer or producer, within a deadline: a broker that is gone must not hold the daemon."""
    try:
        await asyncio.wait_for(client.stop(), STOP_DEADLINE)
    except (TimeoutError, errors.KafkaError, OSError):
        inner = client.client if hasattr(client, "client") else client._client  # noqa: SLF001  no public name
        await inner.close()  # stop() was cut short: its connections would stay open


async def writer(access: KafkaAccess, **options: Any) -> AIOKafkaProducer:
    """Return a started producer that loses and repeats nothing; options: what else it shall do."""
    producer = AIOKafkaProducer(**access.options(), acks="all", enable_idempotence=True, **options)
    calmed(producer.client)
    limit_logs()
    try:
        await producer.start()
    except BaseException:
        await stopped(producer)
        raise
    return producer


async def within(deadline: float, doing: Awaitable[T], *, where: str, what: str) -> T:
    """Await a call to the broker; Unavailable or Refused in our terms when it fails or takes too long."""
    try:
        return await asyncio.wait_for(doing, deadline)
    except TimeoutError as error:
        raise Unavailable(
            f"{what}: no answer within {deadline:g} s", where=where, remedy="check that the brokers are up"
        ) from error
    except (errors.KafkaError, OSError, ssl.SSLError) as error:
        raise translated(error, where=where, what=what) from error


def translated(error: Exception, *, where: str, what: str) -> AdapterError:
    """Return aiokafka's error in our terms."""
    text = f"{what}: {str(error) or type(error).__name__}"
    match error:
        case errors.TopicAuthorizationFailedError() | errors.GroupAuthorizationFailedError():
            return Refused(text, where=where, remedy="grant the user read and write on the guardian's topics")
        case errors.AuthenticationFailedError() | errors.SaslAuthenticationFailed() | ssl.SSLError():
            return Refused(text, where=where, remedy="check kafka.security in guardian.yaml")
        case errors.UnknownTopicOrPartitionError():
            return Unavailable(text, where=where, remedy="create the topic")
        case errors.MessageSizeTooLargeError() | errors.RecordListTooLargeError():
            return Refused(text, where=where, remedy="raise max.message.bytes of the topic")
        case _:
            return Unavailable(text, where=where, remedy="check that the brokers are up and reachable")
