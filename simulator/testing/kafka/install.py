"""Fetch Kafka's jars once with Maven, and prepare what makes a broker start in about 2 s.

Prepared besides the jars: a formatted, empty data folder to copy, and an archive of loaded classes
(AppCDS), which the Java that made it maps instead of loading 44 MB of jars. All of it depends on this
machine's Java, so that is in the key. It starts a broker only to record the archive.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Final

from simulator.testing.cache import Say, digest, ensure, folder_of, step
from simulator.testing.errors import ServiceError
from simulator.testing.process import listening
from simulator.testing.programs import JAVA, installed
from simulator.testing.run import ServiceRun, exclusive

HERE: Final = Path(__file__).resolve().parent
SOURCES: Final = ("pom.xml", "log4j2.properties", "broker.properties")
CLUSTER: Final = "AAAAAAAAQACAAAAAAAAAAQ"
FLAGS: Final = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
)
REMEDY: Final = "run `make services`; it installs Java and Maven and fetches the jars"


@cache
def java_version() -> str:
    """What `java -version` says; ServiceError when there is no Java."""
    java = installed(JAVA)
    if java is None:
        raise ServiceError("java is not installed", where="PATH", remedy=REMEDY)
    return subprocess.run([java, "-version"], capture_output=True, text=True, check=True, timeout=30).stderr


def installation() -> Path:
    """Folder of the prepared broker on this machine; it may not exist yet."""
    return folder_of("kafka", _key())


def install(say: Say) -> Path:
    """Prepare the broker, unless it is there."""
    home = ensure("kafka", _key(), lambda draft: _make(draft, say), say=say)
    with exclusive(home / "record.lock"):
        record_classes(home, say)
    return home


def settings(*, port: int, controller: int, data: Path) -> str:
    """Whole server.properties of a broker on these loopback ports."""
    return (HERE / "broker.properties").read_text() + (
        f"controller.quorum.voters=1@127.0.0.1:{controller}\n"
        f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
        f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"
        f"log.dirs={data}\n"
    )


def java_argv(home: Path, *, logs: Path, extra: tuple[str, ...] = ()) -> list[str]:
    """Java with the flags and classes of the broker in `home`; a main class and its arguments follow."""
    classes = os.pathsep.join(sorted(str(jar) for jar in (home / "jars").glob("*.jar")))
    log4j = home / "log4j2.properties"
    options = (f"-Dlog4j2.configurationFile={log4j}", f"-Dkafka.logs.dir={logs}", *extra)
    return [installed(JAVA) or "java", *FLAGS, *options, "-cp", classes]


def _key() -> str:
    return digest(java_version(), *FLAGS, *((HERE / name).read_bytes() for name in SOURCES))


def _make(draft: Path, say: Say) -> None:
    for name in SOURCES:
        shutil.copyfile(HERE / name, draft / name)
    say("kafka: fetching the jars with Maven (about 44 MB)")
    copy = ["mvn", "-B", "-ntp", "dependency:copy-dependencies", "-DincludeScope=runtime"]
    step([*copy, f"-DoutputDirectory={draft / 'jars'}"], cwd=draft, log=draft / "maven.log", remedy=REMEDY)
    say("kafka: formatting a data folder")
    properties = draft / "server.properties"
    properties.write_text(settings(port=9092, controller=9093, data=draft / "data"))
    format_it = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(properties)]
    step([*java_argv(draft, logs=draft), *format_it], cwd=draft, log=draft / "format.log")
    properties.unlink()


def record_classes(home: Path, say: Say) -> None:
    """Run a broker once and keep its loaded classes; the classes' paths are recorded, so only in the final place."""
    archive = home / "classes.jsa"
    if archive.exists():
        return
    say("kafka: recording the broker's classes, so that it starts faster")
    with ServiceRun.open() as run:
        folder, port = run.workdir("record"), run.port()
        shutil.copytree(home / "data", folder / "data")
        properties = folder / "server.properties"
        properties.write_text(settings(port=port, controller=run.port(), data=folder / "data"))
        draft = home / "classes.draft"
        argv = java_argv(home, logs=folder, extra=(f"-XX:ArchiveClassesAtExit={draft}",))
        with (folder / "record.log").open("wb") as log:
            broker = subprocess.Popen(
                [*argv, "kafka.Kafka", str(properties)], stdout=log, stderr=log, cwd=folder, start_new_session=True
            )
            run.register(broker.pid)
            _until_listening(broker, port)
            broker.send_signal(signal.SIGTERM)
            broker.wait(60)
        if draft.exists():
            draft.replace(archive)


def _until_listening(broker: subprocess.Popen[bytes], port: int) -> None:
    limit = time.monotonic() + 60
    while not listening(port) and broker.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
