"""From an order to the patch on a real API server: POST rollback until a watch sees the VirtualService at weight 0.

In between: the order becomes durable in the journal, the engine decides, the object is read, patched with its
resourceVersion and read back. The reference is the official client's get and patch of the same object.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from kubernetes.client import CustomObjectsApi
from kubernetes.config import new_client_from_config

from benchmarks.load.report import Figure, Found, Load, quantile
from simulator.testing.kubelab.lab import shared_kubernetes
from simulator.testing.kubelab.objects import KubernetesLab
from simulator.testing.run import ServiceRun
from tests.e2e.daemon import Daemon
from tests.e2e.mesh import share_of
from tests.e2e.policies import ERRORS, policy
from tests.e2e.waiting import until

ISTIO: Final = "/apis/networking.istio.io/v1/namespaces/{}/virtualservices"
REPEAT: Final = 30


def virtual_service(canary: int) -> dict[str, Any]:
    """A VirtualService named checkout."""
    route = [
        {"destination": {"host": "checkout", "subset": "stable"}, "weight": 100 - canary},
        {"destination": {"host": "checkout", "subset": "canary"}, "weight": canary},
    ]
    head = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "checkout"}}
    return {**head, "spec": {"hosts": ["checkout"], "http": [{"route": route}]}}


class Watcher:
    """Notes when the VirtualService's canary share was seen to become 0."""

    def __init__(self, lab: KubernetesLab, path: str, version: str) -> None:
        self.zero: list[float] = []
        self._events = lab.api.watch(f"{path}?fieldSelector=metadata.name=checkout", version, seconds=600)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for event in self._events:
            if event["type"] == "MODIFIED" and share_of(event["object"]) == 0.0:
                self.zero.append(time.monotonic())


def measure(run: ServiceRun, repeat: int) -> Found:
    """The daemon's way, then the bare client's, on one object and one watch."""
    lab = shared_kubernetes(run)
    namespace = lab.namespace("patching")
    path = ISTIO.format(namespace)
    made = lab.api.post(path, virtual_service(0))
    watcher = Watcher(lab, path, made["metadata"]["resourceVersion"])
    ours = ordered(run, lab, namespace, watcher, repeat)
    bare = patched(lab, namespace, watcher, repeat)
    figures = [
        Figure(
            name=f"order to patch seen, p95 of {repeat}",
            value=quantile(ours, 0.95),
            unit="s",
            limit=0.1,
            reference="the official client's get and patch, seen the same way",
            reference_value=quantile(bare, 0.95),
        ),
        Figure(
            name="order to patch seen, median",
            value=quantile(ours, 0.5),
            unit="s",
            reference="the official client's get and patch, seen the same way",
            reference_value=quantile(bare, 0.5),
        ),
    ]
    detail = {"ours, s": [round(one, 4) for one in ours], "bare, s": [round(one, 4) for one in bare]}
    return Found(figures=figures, detail=detail)


def ordered(run: ServiceRun, lab: KubernetesLab, namespace: str, watcher: Watcher, repeat: int) -> list[float]:
    """Seconds from POST rollback to weight 0."""
    daemon = Daemon(run)
    place = {"kubeconfig": str(lab.kubeconfig), "namespace": namespace, "metrics": {"stream": True}}
    policies = {"checkout": policy("checkout", router="istio", guardrails=[ERRORS], interval="10s")}
    daemon.configure(settings={"environments": {"production": place}, "log": "warning"}, policies=policies)
    daemon.start()
    found: list[float] = []
    try:
        for number in range(repeat):
            data = {"service": "checkout", "environment": "production", "revision": f"r{number}"}
            assert daemon.post("/v1/events", data).status == 202
            until(lambda: started(daemon, f"r{number}"), what="10 %", deadline=20.0)  # noqa: B023 - used at once
            seen, began = len(watcher.zero), time.monotonic()
            order = daemon.post(f"/v1/rollouts/{daemon.newest('checkout')['id']}/rollback", {"reason": "benchmark"})
            assert order.status == 200, order
            until(lambda: len(watcher.zero) > seen, what="weight 0", deadline=20.0, every=0.002)  # noqa: B023
            found.append(watcher.zero[seen] - began)
            daemon.wait_phase("checkout", "rolled-back", deadline=20.0)
    finally:
        daemon.stop()
    return found


def started(daemon: Daemon, revision: str) -> bool:
    """Whether this revision's first weight is in place."""
    found = daemon.newest("checkout")
    return found.get("revision") == revision and found["weight"]["accepted"] == 0.1


def patched(lab: KubernetesLab, namespace: str, watcher: Watcher, repeat: int) -> list[float]:
    """Seconds from a bare get and patch to weight 0."""
    name: dict[str, Any] = {
        "group": "networking.istio.io",
        "version": "v1",
        "namespace": namespace,
        "plural": "virtualservices",
    }
    found: list[float] = []
    client: Any = new_client_from_config(config_file=str(lab.kubeconfig))  # type: ignore[no-untyped-call]
    with client as api:
        objects = CustomObjectsApi(api)
        for _ in range(repeat):
            objects.patch_namespaced_custom_object(**name, name="checkout", body={"spec": virtual_service(10)["spec"]})
            seen, began = len(watcher.zero), time.monotonic()
            objects.get_namespaced_custom_object(**name, name="checkout")
            objects.patch_namespaced_custom_object(**name, name="checkout", body={"spec": virtual_service(0)["spec"]})
            until(lambda: len(watcher.zero) > seen, what="weight 0", deadline=20.0, every=0.002)  # noqa: B023
            found.append(watcher.zero[seen] - began)
    return found


LOAD: Final = Load(
    name="patching",
    claim="from an order to the patch on a real API server: p95 < 100 ms, journal included",
    measure=measure,
    repeat=REPEAT,
)
