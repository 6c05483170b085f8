"""How brokers are reached, and what is made of their errors; no broker needed."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
from aiokafka import errors

from guardian.adapters._kafka import KafkaAccess, limit_logs, translated
from guardian.adapters.events.kafka import KafkaSource
from guardian.errors import AdapterError, ConfigError, Refused, Unavailable


def unreadable() -> str:
    """A secret that is not there."""
    raise ConfigError("the secret is empty or absent", where="environment variable KAFKA", remedy="set it")


def test_a_password_is_read_at_each_connection() -> None:
    """A renewed one counts at once."""
    passwords = iter(["one", "two"])
    access = KafkaAccess(
        bootstrap=("a:9092",),
        protocol="SASL_SSL",
        mechanism="SCRAM-SHA-512",
        username="g",
        password=lambda: next(passwords),
    )
    assert [access.options()["sasl_plain_password"] for _ in range(2)] == ["one", "two"]


@pytest.mark.parametrize(
    "access",
    [
        KafkaAccess(bootstrap=("a:9092",), protocol="SASL_PLAINTEXT", username="g", password=unreadable),
        KafkaAccess(bootstrap=("a:9092",), protocol="SSL", ca=Path("/absent/ca.pem")),
        KafkaAccess(bootstrap=("a:9092",), protocol="SSL", certificate=Path("/absent/cert.pem")),
    ],
)
async def test_a_secret_or_file_that_is_not_there_is_said_and_tried_again(access: KafkaAccess) -> None:
    """It may be mounted in a moment: the daemon must neither end nor be silent."""
    with pytest.raises(Refused, match=r"kafka a:9092: .*check the files and secrets of kafka\.security"):
        access.options()
    with pytest.raises(Refused):
        await KafkaSource(access)._connected()


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        (errors.TopicAuthorizationFailedError("t"), Refused, "grant the user read and write"),
        (errors.SaslAuthenticationFailed(), Refused, "check kafka.security"),
        (ssl.SSLError("certificate verify failed"), Refused, "check kafka.security"),
        (errors.UnknownTopicOrPartitionError(), Unavailable, "create the topic"),
        (errors.MessageSizeTooLargeError(), Refused, "raise max.message.bytes"),
        (errors.KafkaConnectionError(), Unavailable, "check that the brokers are up"),
        (OSError("no route"), Unavailable, "check that the brokers are up"),
    ],
)
def test_each_error_comes_with_its_remedy(error: Exception, kind: type[AdapterError], remedy: str) -> None:
    """Whether to try again, and what to do."""
    told = translated(error, where="kafka a:9092", what="reading")
    assert type(told) is kind
    assert remedy in told.remedy
    assert str(told).startswith("kafka a:9092: reading: ")


def test_the_clients_log_is_bounded_and_says_how_much_was_kept_back(caplog: pytest.LogCaptureFixture) -> None:
    """18,000 lines in 4 s were seen without."""
    limit_logs()
    limit_logs()
    logger = logging.getLogger("aiokafka.conn")
    for _ in range(1000):
        logger.error("no connection")
    assert len([one for one in caplog.records if one.name == "aiokafka.conn"]) == 5
