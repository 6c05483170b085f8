"""Start pods of a service as real HTTP processes, and change how they behave while they run.

It moves no traffic between them: that is HAProxy's part (`simulator.testing.haproxy`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from simulator.testing.ask import answers, ask
from simulator.testing.errors import ServiceError
from simulator.testing.pods.behaviour import Behaviour, Identity, Latency, PodPlan
from simulator.testing.process import Server, python_module
from simulator.testing.run import ServiceRun

__all__ = ["BUCKETS", "Behaviour", "HttpPod", "Identity", "Latency", "running_pod"]

BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.175, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
)  # fmt: skip
"""Upper bounds in seconds, without +Inf: 17 buckets with it."""


class HttpPod:
    """One running pod. `server` can be killed, frozen and started again; a restart sets its counters to 0."""

    def __init__(self, plan: PodPlan, server: Server) -> None:
        self.identity = plan.identity
        self.port = plan.port
        self.server = server

    @property
    def address(self) -> str:
        """`host:port`, as Prometheus targets and HAProxy servers are written."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def behave(self, behaviour: Behaviour) -> None:
        """Replace the behaviour; requests that wait for their answer already keep the old one."""
        answer = ask(f"{self.url}/control", method="POST", body=msgspec.json.encode(behaviour))
        if answer.status != 200:
            raise ServiceError(
                f"the pod refused its new behaviour: {answer.body.decode().strip()}",
                where=self.url,
                remedy="see simulator.testing.pods.behaviour for what is allowed",
            )

    def restart(self) -> None:
        """Stop and start: same port and identity, counters from 0, behaviour as at first."""
        self.server.stop()
        self.start()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self.server.start()
        self.server.wait_ready(lambda: answers(f"{self.url}/version"))


@contextmanager
def running_pod(
    run: ServiceRun,
    identity: Identity,
    *,
    behaviour: Behaviour | None = None,
    seed: int = 1,
    buckets: tuple[float, ...] = BUCKETS,
) -> Iterator[HttpPod]:
    """One pod on a free port, until the block ends. seed: of the errors and latencies it draws."""
    plan = PodPlan(port=run.port(), identity=identity, behaviour=behaviour or Behaviour(), buckets=buckets, seed=seed)
    argv = python_module("simulator.testing.pods.server", msgspec.json.encode(plan).decode())
    with Server(f"pod-{identity.pod}", argv, folder=run.workdir("pod"), run=run) as server:
        pod = HttpPod(plan, server)
        pod.start()
        yield pod
