"""Bring up a control plane: etcd, API server, controllers, scheduler, a stand-in for kubelets, Istio's definitions.

Found by GUARDIAN_TEST_KUBECONFIG (a cluster made for tests: it gets namespaces and Istio's definitions, no
nodes), else the built one is started, else kind where a container engine answers. The way with kind has not
been tried by the authors, for want of an engine; its own node is cordoned, so that pods land on the
stand-in's nodes as in the built one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.testing.errors import ServiceError
from simulator.testing.kubelab import build
from simulator.testing.kubelab.api import ApiError, KubeApi
from simulator.testing.kubelab.objects import KubernetesLab, wait_until
from simulator.testing.kubelab.pki import ADMIN, CONTROLLERS, SCHEDULER, make_certificates
from simulator.testing.process import Server, python_module
from simulator.testing.programs import engine_answers
from simulator.testing.run import ServiceRun

KUBECONFIG_VARIABLE: Final = "GUARDIAN_TEST_KUBECONFIG"
"""Environment variable: kubeconfig of a cluster made for tests that runs already."""

REMEDY: Final = (
    "run `make services` (builds it once, 6 to 12 minutes), or set "
    f"{KUBECONFIG_VARIABLE} to the kubeconfig of a test cluster"
)
DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLab:
    """A lab of one test. apiserver and the others may be killed, frozen and started again; the data is etcd's."""

    lab: KubernetesLab
    etcd: Server
    apiserver: Server
    controllers: Server
    scheduler: Server
    kubelet: Server

    @property
    def server(self) -> Server:
        """The part whose log a failing test shows."""
        return self.apiserver

    def start_apiserver(self) -> None:
        """Start the API server after it was killed, and wait until it is ready."""
        self.apiserver.start()
        self.apiserver.wait_ready(self.lab.api.ready, deadline=180.0)


def shared_kubernetes(run: ServiceRun) -> KubernetesLab:
    """The lab of the run: the one the environment names, else one that the first caller starts."""
    named = os.environ.get(KUBECONFIG_VARIABLE)
    if named:
        return _named_lab(run, Path(named))
    found = run.shared("kubernetes", lambda folder: _start_shared(run, folder))
    return KubernetesLab.of(Path(found["kubeconfig"]), Path(found["folder"]))


def shared_log(run: ServiceRun) -> Path:
    """Log of the shared lab's API server; it does not exist where the lab runs elsewhere."""
    return run.folder / "shared" / "kubernetes" / "apiserver.log"


@contextmanager
def running_lab(run: ServiceRun) -> Iterator[OwnLab]:
    """A lab of one's own, until the block ends."""
    _need_built()
    own = _parts(run, run.workdir("lab"))
    try:
        _start(own)
        yield own
    finally:
        for part in (own.kubelet, own.scheduler, own.controllers, own.apiserver, own.etcd):
            part.stop()


def _named_lab(run: ServiceRun, kubeconfig: Path) -> KubernetesLab:
    if not kubeconfig.is_file():
        raise ServiceError(f"{kubeconfig} is not a file", where=KUBECONFIG_VARIABLE, remedy="mend or unset it")
    lab = KubernetesLab.of(kubeconfig, run.workdir("kubernetes"))
    if not lab.api.ready():
        raise ServiceError(
            f"the API server at {lab.api.url} is not ready", where=KUBECONFIG_VARIABLE, remedy="start it, or unset it"
        )
    _define(lab.api)
    return lab


def _need_built() -> None:
    if not (build.installation().exists() and build.definitions().exists()):
        raise ServiceError(
            "the Kubernetes control plane was not built on this machine",
            where=str(build.installation()),
            remedy=REMEDY,
        )


def _start_shared(run: ServiceRun, folder: Path) -> dict[str, str]:
    if not build.installation().exists() and engine_answers() and shutil.which("kind"):
        return _start_kind(run, folder)
    _need_built()
    own = _parts(run, folder)
    _start(own)
    for part in (own.etcd, own.apiserver, own.controllers, own.scheduler, own.kubelet):
        part.leave()
    return {"kubeconfig": str(own.lab.kubeconfig), "folder": str(folder)}


def _start(own: OwnLab) -> None:
    own.etcd.start()
    own.apiserver.start()
    own.apiserver.wait_ready(own.lab.api.ready, deadline=180.0)
    for part in (own.controllers, own.scheduler, own.kubelet):
        part.start()
    _define(own.lab.api)
    own.kubelet.wait_ready(_nodes_file(own.lab.folder).exists, deadline=180.0)


def _parts(run: ServiceRun, folder: Path) -> OwnLab:
    """The lab's servers, none of them started, and its certificates."""
    port = run.port()
    make_certificates(folder / "pki", url=f"https://127.0.0.1:{port}")
    etcd_port = run.port()
    lab = KubernetesLab.of(folder / "pki" / f"{ADMIN}.kubeconfig", folder)

    def part(name: str, *arguments: str) -> Server:
        argv = [str(build.installation() / "kubelab"), *arguments]
        return Server(name, argv, folder=folder, run=run, abrupt=True)

    return OwnLab(
        lab=lab,
        etcd=part("etcd", *_etcd(folder, etcd_port, run.port())),
        apiserver=part("apiserver", *_apiserver(folder / "pki", etcd_port, port)),
        controllers=part("controllers", *_controllers(folder / "pki", run.port())),
        scheduler=part("scheduler", *_scheduler(folder / "pki", run.port())),
        kubelet=_kubelet(run, folder, lab.kubeconfig),
    )


def _kubelet(run: ServiceRun, folder: Path, kubeconfig: Path, container: str = "") -> Server:
    argv = python_module("simulator.testing.kubelab.kubelet", str(kubeconfig), str(_nodes_file(folder)))
    return Server("kubelet", argv, folder=folder, run=run, container=container)


def _nodes_file(folder: Path) -> Path:
    return folder / "nodes-registered"


def _etcd(folder: Path, port: int, peer: int) -> list[str]:
    client, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return [
        "etcd", "--name=lab", f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=lab={peers}",
        "--unsafe-no-fsync", "--log-level=warn",
    ]  # fmt: skip


def _apiserver(pki: Path, etcd: int, port: int) -> list[str]:
    return [
        "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1", f"--secure-port={port}", "--advertise-address=127.0.0.1",
        "--service-cluster-ip-range=10.96.0.0/16", f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}", f"--tls-private-key-file={pki / 'apiserver.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'sa.pub'}", f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--authorization-mode=Node,RBAC", "--endpoint-reconciler-type=none", "--profiling=false", "--v=1",
    ]  # fmt: skip


def _controllers(pki: Path, port: int) -> list[str]:
    return [
        "kube-controller-manager", *_identity(pki / f"{CONTROLLERS}.kubeconfig", port),
        f"--service-account-private-key-file={pki / 'sa.key'}", f"--root-ca-file={pki / 'ca.crt'}",
        "--use-service-account-credentials=true", "--concurrent-deployment-syncs=20",
        "--concurrent-replicaset-syncs=20",
    ]  # fmt: skip


def _scheduler(pki: Path, port: int) -> list[str]:
    return ["kube-scheduler", *_identity(pki / f"{SCHEDULER}.kubeconfig", port)]


def _identity(kubeconfig: Path, port: int) -> list[str]:
    uses = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    common = ("--bind-address=127.0.0.1", f"--secure-port={port}", "--leader-elect=false")
    return [*(f"--{use}={kubeconfig}" for use in uses), *common, "--kube-api-qps=500", "--kube-api-burst=1000"]


def _define(api: KubeApi) -> None:
    """Make Istio's definitions, unless they are there, and wait until their objects can be written."""
    files = sorted(build.definitions().glob("*.json"))
    if not files:
        raise ServiceError("Istio's definitions were not fetched", where=str(build.definitions()), remedy=REMEDY)
    for file in files:
        try:
            api.post(DEFINITIONS, json.loads(file.read_text()))
        except ApiError as error:
            if error.status != 409:
                raise

    def established() -> bool:
        found = [api.get(f"{DEFINITIONS}/{file.stem}").get("status", {}) for file in files]
        return all(
            any(one["type"] == "Established" and one["status"] == "True" for one in status.get("conditions") or [])
            for status in found
        )

    wait_until(established, what="Istio's definitions are not in force")


def _start_kind(run: ServiceRun, folder: Path) -> dict[str, str]:
    """A cluster in a container, ended with the run; its node's container is named after the cluster."""
    name, kubeconfig = run.folder.name.replace("_", "-").lower(), folder / "kubeconfig"
    argv = ["kind", "create", "cluster", "--name", name, "--kubeconfig", str(kubeconfig), "--wait", "120s"]
    made = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    if made.returncode != 0:
        raise ServiceError(f"kind made no cluster: {made.stderr.strip()}", where="kind", remedy=REMEDY)
    node = f"{name}-control-plane"
    kubelet = _kubelet(run, folder, kubeconfig, container=node)
    kubelet.start()
    lab = KubernetesLab.of(kubeconfig, folder)
    lab.api.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
    _define(lab.api)
    kubelet.wait_ready(_nodes_file(folder).exists)
    kubelet.leave()
    return {"kubeconfig": str(kubeconfig), "folder": str(folder)}
