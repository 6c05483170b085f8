"""Start a broker; topics and groups that no other test has.

A test of its own faults starts its own broker; everything else shares one per run. It produces and consumes
nothing: tests do that with a client of their own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from simulator.testing.errors import ServiceError
from simulator.testing.kafka import install
from simulator.testing.process import Server, listening
from simulator.testing.programs import JAVA, command, engine_answers, installed
from simulator.testing.run import ServiceRun

ADDRESS_VARIABLE: Final = "GUARDIAN_TEST_KAFKA"
"""Environment variable: host:port of a broker that runs already and may be used by tests."""

IN_IMAGE: Final = "/opt/kafka/libs/*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Where a broker is. bootstrap: host:port. log: its output, None for a broker that ran before."""

    bootstrap: str
    log: Path | None = None

    def topic(self, name: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Make a topic; its name begins with `name` and is unique. May be called with an event loop running."""
        unique = _unique(name)
        self.make_topic(unique, partitions=partitions, config=config)
        return unique

    def make_topic(self, name: str, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Make a topic of exactly this name."""
        _apart(_make_topic(self.bootstrap, name, partitions, dict(config or {})))

    def group(self, name: str = "group") -> str:
        """Name of a consumer group that nobody else uses."""
        return _unique(name)


class KafkaBroker:
    """A broker of one's own. It keeps its address and its data over stop, kill and start."""

    def __init__(self, *, port: int, server: Server) -> None:
        self.port = port
        self.server = server
        self.endpoint = Kafka(bootstrap=f"127.0.0.1:{port}", log=server.log)

    @property
    def bootstrap(self) -> str:
        return self.endpoint.bootstrap

    def topic(self, name: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """As `Kafka.topic`."""
        return self.endpoint.topic(name, partitions=partitions, config=config)

    def group(self, name: str = "group") -> str:
        """As `Kafka.group`."""
        return self.endpoint.group(name)

    def start(self) -> None:
        """Start, or start again on the same data; ready when topics can be made and read.

        After `kill` it takes about 6 s: the broker's former registration must run out first.
        """
        self.server.start()
        self.server.wait_ready(self._ready, deadline=180.0)

    def stop(self) -> None:
        """Graceful stop (SIGTERM)."""
        self.server.stop(grace=15.0)

    def kill(self) -> None:
        """SIGKILL."""
        self.server.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing is answered."""
        self.server.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self.server.resume()

    def _ready(self) -> bool:
        if not listening(self.port):
            return False
        try:
            _apart(_ask(self.bootstrap))
        except Exception:  # noqa: BLE001 - whatever the client says while the broker is not ready
            return False
        return True


@contextmanager
def running_broker(run: ServiceRun, *, config: Mapping[str, str] | None = None) -> Iterator[KafkaBroker]:
    """A broker of one's own until the block ends. config: further lines of server.properties."""
    broker = _broker(run, run.workdir("kafka"), config or {})
    try:
        broker.start()
        yield broker
    finally:
        broker.server.stop(grace=5.0)


def shared_kafka(run: ServiceRun) -> Kafka:
    """The broker of the run: the one the environment names, else one that the first caller starts."""
    named = os.environ.get(ADDRESS_VARIABLE)
    if named:
        _check(named)
        return Kafka(bootstrap=named)
    found = run.shared("kafka", lambda folder: _start_shared(run, folder))
    return Kafka(bootstrap=found["bootstrap"], log=Path(found["log"]))


def _start_shared(run: ServiceRun, folder: Path) -> dict[str, str]:
    broker = _broker(run, folder, {})
    broker.start()
    broker.server.leave()
    return {"bootstrap": broker.bootstrap, "log": str(broker.server.log)}


def _broker(run: ServiceRun, folder: Path, config: Mapping[str, str]) -> KafkaBroker:
    port = run.port()
    properties = folder / "server.properties"
    text = install.settings(port=port, controller=run.port(), data=folder / "data")
    properties.write_text(text + "".join(f"{name}={value}\n" for name, value in config.items()))
    argv = _installed_argv(folder, properties) if _is_installed() else _image_argv(folder, properties)
    return KafkaBroker(port=port, server=Server("kafka", argv, folder=folder, run=run))


def _is_installed() -> bool:
    return installed(JAVA) is not None and install.installation().exists()


def _installed_argv(folder: Path, properties: Path) -> list[str]:
    home = install.installation()
    shutil.copytree(home / "data", folder / "data")
    archive = home / "classes.jsa"
    extra = (f"-XX:SharedArchiveFile={archive}",) if archive.exists() else ()
    return [*install.java_argv(home, logs=folder, extra=extra), "kafka.Kafka", str(properties)]


def _image_argv(folder: Path, properties: Path) -> list[str]:
    """Java of the official image on the same settings: formats its folder if need be, then serves."""
    if not engine_answers():
        raise ServiceError(
            "Kafka is not prepared on this machine and no container engine answers",
            where=str(install.installation() if installed(JAVA) else "PATH"),
            remedy=f"run `make services`, or set {ADDRESS_VARIABLE}=host:port to a broker that runs",
        )
    shell = command(JAVA, folder=folder)
    shell[shell.index("--entrypoint") + 1] = "sh"
    java = f"java {' '.join(install.FLAGS)} -Dkafka.logs.dir={folder} -cp '{IN_IMAGE}'"
    form = f"{java} kafka.tools.StorageTool format --ignore-formatted -t {install.CLUSTER} -c {properties}"
    return [*shell, "-c", f"{form} && exec {java} kafka.Kafka {properties}"]


def _check(address: str) -> None:
    try:
        _apart(_ask(address))
    except Exception as error:
        raise ServiceError(
            f"no broker answers at {address}: {error}", where=ADDRESS_VARIABLE, remedy="start it, or unset it"
        ) from error


def _unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}"


async def _ask(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    try:
        await admin.start()
        await admin.list_topics()
    finally:
        await admin.close()


async def _make_topic(bootstrap: str, name: str, partitions: int, config: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, topic_configs=config)
        answer = await admin.create_topics([topic])
        for _, code, *text in answer.topic_errors:
            if code:
                raise ServiceError(f"topic {name} was refused: {text} (code {code})", where=bootstrap)
        while name not in await admin.list_topics():  # noqa: ASYNC110 - the broker tells nobody when it is there
            await asyncio.sleep(0.01)
    finally:
        await admin.close()


def _apart(work: Coroutine[object, object, None]) -> None:
    """Run the coroutine on a loop of its own in a thread of its own: the caller may have a loop running."""
    failure: list[BaseException] = []

    def go() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failure.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
