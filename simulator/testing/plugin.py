"""pytest plugin: the real services as fixtures. Load it with `pytest_plugins = ["simulator.testing.plugin"]`.

Shared by all tests and workers of a run: `kafka`, `kubernetes`; each test takes topics, groups and
namespaces of its own. Made by each test as it likes: `http_app`, `haproxy`, `prometheus`, `alertmanager`,
`webhook_sink`, `load`, `kafka_own`, `kubernetes_own`; these end with the test. A service that cannot be had
is a failure with its remedy.

When a test fails, the last lines of its services' logs are in the report, and the logs stay (the path is
printed).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final, Protocol, TypeVar

import pytest

from simulator.testing.alertmanager import Alertmanager, AlertmanagerPlan, running_alertmanager
from simulator.testing.haproxy import HaProxy, running_haproxy
from simulator.testing.kafka.broker import Kafka, KafkaBroker, running_broker, shared_kafka
from simulator.testing.kubelab.lab import OwnLab, running_lab, shared_kubernetes, shared_log
from simulator.testing.kubelab.objects import KubernetesLab
from simulator.testing.load import LoadPlan, LoadProcess, running_load
from simulator.testing.pods.behaviour import Behaviour, Identity
from simulator.testing.pods.pod import BUCKETS, HttpPod, running_pod
from simulator.testing.process import Server, log_tail
from simulator.testing.prometheus import Prometheus, PrometheusPlan, running_prometheus
from simulator.testing.run import RUN_VARIABLE, ServiceRun, current_run
from simulator.testing.sink import WebhookSink, running_sink

T = TypeVar("T")

LOGS: Final = pytest.StashKey[list[Path]]()
SHARED_LOGS: Final[dict[str, Path]] = {}
"""Fixture of a shared service -> its log."""

PREPARED: Final = frozenset(
    {"haproxy", "prometheus", "alertmanager", "kafka", "kafka_own", "kubernetes", "kubernetes_own"}
)
"""Fixtures of services that `make services` prepares; a test that uses one is marked `service`."""

ALONE: Final = frozenset({"kafka_own", "kubernetes_own"})
"""Fixtures that take so much memory and CPU that one at a time is enough (with `--dist loadgroup`)."""

OWNED: Final = pytest.StashKey[ServiceRun]()


class MakePod(Protocol):
    """`http_app(track="canary", behaviour=Behaviour(error_ratio=0.05))` -> HttpPod."""

    def __call__(
        self,
        *,
        service: str = "checkout",
        track: str = "stable",
        pod: str = "",
        version: str = "1.0.0",
        behaviour: Behaviour | None = None,
        seed: int = 1,
        buckets: tuple[float, ...] = BUCKETS,
    ) -> HttpPod: ...


class MakeHaProxy(Protocol):
    """`haproxy({"stable": pod.address, "canary": other.address})` -> HaProxy."""

    def __call__(
        self, servers: Mapping[str, str], *, weights: Mapping[str, int] | None = None, backend: str = "be"
    ) -> HaProxy: ...


class MakeAlertmanager(Protocol):
    """`alertmanager(webhook_url)` or `alertmanager(AlertmanagerPlan(...))` -> Alertmanager."""

    def __call__(self, webhook: str | AlertmanagerPlan) -> Alertmanager: ...


class MakeBroker(Protocol):
    """`kafka_own()` or `kafka_own(config={"message.max.bytes": "1000"})` -> KafkaBroker."""

    def __call__(self, *, config: Mapping[str, str] | None = None) -> KafkaBroker: ...


MakeLab = Callable[[], OwnLab]
MakePrometheus = Callable[[PrometheusPlan], Prometheus]
MakeSink = Callable[[], WebhookSink]
MakeLoad = Callable[[LoadPlan], LoadProcess]


def pytest_configure(config: pytest.Config) -> None:
    """Own a run of services in the process that was started by the user; its workers join it."""
    config.addinivalue_line("markers", "service: needs a real service that must be prepared (added by itself)")
    if hasattr(config, "workerinput") or os.environ.get(RUN_VARIABLE):
        return
    config.stash[OWNED] = ServiceRun.open()
    os.environ[RUN_VARIABLE] = str(config.stash[OWNED].folder)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Mark what needs a prepared service, and keep tests with a whole lab of their own on one worker.

    Raises UsageError when pytest-xdist was asked to keep groups together and does not.
    """
    parallel = config.pluginmanager.hasplugin("xdist")
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if names & PREPARED:
            item.add_marker("service")
        if parallel and names & ALONE:
            item.add_marker(pytest.mark.xdist_group("own-services"))
    yield
    grouped = [item for item in items if item.get_closest_marker("xdist_group")]
    if getattr(config.option, "loadgroup", False) and any("@" not in item.nodeid for item in grouped):
        raise pytest.UsageError("this pytest-xdist does not group with this pytest; take those of constraints.txt")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave the logs where something failed."""
    run = session.config.stash.get(OWNED, None)
    if run is not None and exitstatus not in {0, 5} and any(run.folder.rglob("*.log")):
        run.keep_logs()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End everything that is still there, before pytest returns."""
    run = config.stash.get(OWNED, None)
    if run is not None:
        del config.stash[OWNED]
        os.environ.pop(RUN_VARIABLE, None)
        run.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the logs of a failed run are."""
    run = config.stash.get(OWNED, None)
    if run is not None and run.keeps_logs:
        terminalreporter.write_line(f"logs of the services: {run.folder}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the services' last lines to the report of a failure."""
    report = yield
    if report.failed:
        shared = [log for name, log in SHARED_LOGS.items() if name in getattr(item, "fixturenames", ())]
        for log in [*item.stash.get(LOGS, []), *shared]:
            report.sections.append((f"log of {log.stem} ({log})", log_tail(log)))
    return report


@pytest.fixture(scope="session")
def service_run() -> Iterator[ServiceRun]:
    """The run that all services of this session belong to."""
    with current_run() as run:
        yield run


class Started:
    """Context managers that one test entered; left in reverse when it ends."""

    def __init__(self, item: pytest.Item, stack: ExitStack) -> None:
        self._logs = item.stash.setdefault(LOGS, [])
        self._stack = stack

    def enter(self, service: AbstractContextManager[T]) -> T:
        """Start the service until the test ends, and remember its log."""
        started = self._stack.enter_context(service)
        server = started if isinstance(started, Server) else getattr(started, "server", None)
        if isinstance(server, Server):
            self._logs.append(server.log)
        return started


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[Started]:
    """Place for further services of this test: `started.enter(running_...(...))`."""
    with ExitStack() as stack:
        yield Started(request.node, stack)


@pytest.fixture
def http_app(service_run: ServiceRun, started: Started) -> MakePod:
    """Start pods of a real HTTP service."""
    count = iter(range(10_000))

    def make(
        *,
        service: str = "checkout",
        track: str = "stable",
        pod: str = "",
        version: str = "1.0.0",
        behaviour: Behaviour | None = None,
        seed: int = 1,
        buckets: tuple[float, ...] = BUCKETS,
    ) -> HttpPod:
        name = pod or f"{service}-{track}-{next(count)}"
        who = Identity(service=service, track=track, pod=name, version=version)
        return started.enter(running_pod(service_run, who, behaviour=behaviour, seed=seed, buckets=buckets))

    return make


@pytest.fixture
def haproxy(service_run: ServiceRun, started: Started) -> MakeHaProxy:
    """Start proxies."""

    def make(servers: Mapping[str, str], *, weights: Mapping[str, int] | None = None, backend: str = "be") -> HaProxy:
        return started.enter(running_haproxy(service_run, servers, weights=weights, backend=backend))

    return make


@pytest.fixture
def prometheus(service_run: ServiceRun, started: Started) -> MakePrometheus:
    """Start Prometheus servers."""
    return lambda plan: started.enter(running_prometheus(service_run, plan))


@pytest.fixture
def alertmanager(service_run: ServiceRun, started: Started) -> MakeAlertmanager:
    """Start Alertmanagers."""

    def make(webhook: str | AlertmanagerPlan) -> Alertmanager:
        plan = AlertmanagerPlan(webhook=webhook) if isinstance(webhook, str) else webhook
        return started.enter(running_alertmanager(service_run, plan))

    return make


@pytest.fixture
def webhook_sink(started: Started) -> MakeSink:
    """Start receivers of webhooks."""
    return lambda: started.enter(running_sink())


@pytest.fixture
def load(service_run: ServiceRun, started: Started) -> MakeLoad:
    """Start load, in processes of its own."""
    return lambda plan: started.enter(running_load(service_run, plan))


@pytest.fixture(scope="session")
def kafka(service_run: ServiceRun) -> Kafka:
    """Find or start the broker that all tests of the run share; take topics and groups from it."""
    found = shared_kafka(service_run)
    if found.log is not None:
        SHARED_LOGS["kafka"] = found.log
    return found


@pytest.fixture
def kafka_own(service_run: ServiceRun, started: Started) -> MakeBroker:
    """Start brokers of one's own, to be stopped, killed and frozen."""

    def make(*, config: Mapping[str, str] | None = None) -> KafkaBroker:
        return started.enter(running_broker(service_run, config=config))

    return make


@pytest.fixture(scope="session")
def kubernetes(service_run: ServiceRun) -> KubernetesLab:
    """Find or start the control plane that all tests of the run share; take namespaces from it."""
    found = shared_kubernetes(service_run)
    SHARED_LOGS["kubernetes"] = shared_log(service_run)
    return found


@pytest.fixture
def kubernetes_own(service_run: ServiceRun, started: Started) -> MakeLab:
    """Start control planes of one's own, whose API server may be killed and frozen."""
    return lambda: started.enter(running_lab(service_run))
