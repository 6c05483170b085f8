"""A stand-in for kubelets: a few nodes that report themselves and every pod on them as ready. Runs nothing.

Its process is started with a kubeconfig as argument. A pod may say otherwise by annotation:
guardian.test/ready: "never", or guardian.test/ready-after: "2.5" (seconds). Deleted pods go at once.
"""

from __future__ import annotations

import http.client
import itertools
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from simulator.testing.errors import ServiceError
from simulator.testing.kubelab.api import STRATEGIC, ApiError, Json, KubeApi

NODES: Final = ("fake-0", "fake-1", "fake-2")
HEARTBEAT: Final = 10.0
"""Seconds between two renewals of a node's lease; the controllers miss one after 40 s."""

RETRY: Final = 0.2
READY: Final = "guardian.test/ready"
READY_AFTER: Final = "guardian.test/ready-after"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
TROUBLE: Final = (ServiceError, OSError, http.client.HTTPException, ValueError)
"""What a call may raise while the API server is frozen, gone or new."""


class Kubelet:
    """The nodes' state: which pods were started, and the next free pod address."""

    def __init__(self, api: KubeApi) -> None:
        self.api = api
        self.started: set[str] = set()
        self.addresses = (f"10.244.{i}.{j}" for i, j in itertools.product(range(256), range(1, 255)))

    def register(self) -> None:
        """Make the nodes and their leases, unless they are there."""
        for number, name in enumerate(NODES):
            for path, body in (("/api/v1/nodes", node(name, number)), (LEASES, lease(name))):
                try:
                    self.api.post(path, body)
                except ApiError as error:
                    if error.status != 409:
                        raise

    def heartbeat(self) -> None:
        """Renew the leases for ever."""
        while True:
            time.sleep(HEARTBEAT)
            for name in NODES:
                try:
                    self.api.patch(f"{LEASES}/{name}", {"spec": {"renewTime": _now()}})
                except TROUBLE as error:
                    print(f"heartbeat of {name}: {error}", flush=True)

    def follow(self) -> None:
        """See to every pod there is and comes, for ever."""
        while True:
            try:
                listed = self.api.get("/api/v1/pods")
                for pod in listed["items"]:
                    self.see(pod)
                version = listed["metadata"]["resourceVersion"]
                while True:
                    version = self._watch(version)
            except TROUBLE as error:
                print(f"pods: {type(error).__name__}: {error}", flush=True)
                time.sleep(RETRY)

    def _watch(self, version: str) -> str:
        for event in self.api.watch("/api/v1/pods", version):
            if event["type"] == "ERROR":
                raise ServiceError(f"the watch ended: {event['object'].get('message')}", where="/api/v1/pods")
            version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] in {"ADDED", "MODIFIED"}:
                self.see(event["object"])
        return version

    def see(self, pod: Json) -> None:
        """Start the pod, or remove it; a pod that is gone already is no trouble."""
        meta, spec = pod["metadata"], pod["spec"]
        if spec.get("nodeName") not in NODES:
            return
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        try:
            if "deletionTimestamp" in meta:
                self.api.delete(path, {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
            elif meta["uid"] not in self.started:
                self.started.add(meta["uid"])
                self.start(path, pod)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise

    def start(self, path: str, pod: Json) -> None:
        """Report the pod as running; ready now, later or never."""
        said = pod["metadata"].get("annotations", {})
        wait = float(said.get(READY_AFTER, 0))
        ready = said.get(READY) != "never"
        address = next(self.addresses)
        self.api.patch(f"{path}/status", running(pod, address, ready=ready and not wait), kind=STRATEGIC)
        if ready and wait:
            body = running(pod, address, ready=True)
            timer = threading.Timer(wait, self._later, [f"{path}/status", body])
            timer.daemon = True
            timer.start()

    def _later(self, path: str, body: Json) -> None:
        try:
            self.api.patch(path, body, kind=STRATEGIC)
        except TROUBLE as error:
            print(f"{path}: {error}", flush=True)


def node(name: str, number: int) -> Json:
    """A ready node with room for everything."""
    room = {"cpu": "1000", "memory": "4Ti", "pods": "5000"}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        "status": {
            "capacity": room,
            "allocatable": room,
            "addresses": [{"type": "InternalIP", "address": f"10.0.0.{number + 1}"}],
            "conditions": [condition("Ready")],
        },
    }


def lease(name: str) -> Json:
    """The node's sign of life."""
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _now()}
    return {"metadata": {"name": name}, "spec": spec}


def running(pod: Json, address: str, *, ready: bool) -> Json:
    """Status of a pod whose containers run."""
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kinds = ("PodReadyToStartContainers", "Initialized", "PodScheduled")
    return {
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": since,
            "conditions": [
                *(condition(kind) for kind in kinds),
                condition("ContainersReady", ready=ready),
                condition("Ready", ready=ready),
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": f"fake://{container['image']}",
                    "ready": ready,
                    "started": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": since}},
                }
                for container in pod["spec"]["containers"]
            ],
        }
    }


def condition(kind: str, *, ready: bool = True) -> Json:
    """One condition of a node or pod, true or false from now on."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": kind, "status": "True" if ready else "False", "lastTransitionTime": now}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def main(kubeconfig: Path, registered: Path) -> None:
    """Run until ended. registered: file that is made when the nodes are there."""
    kubelet = Kubelet(KubeApi.of(kubeconfig))
    kubelet.register()
    registered.touch()
    threading.Thread(target=kubelet.heartbeat, daemon=True).start()
    kubelet.follow()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
