"""The same release on a real API server: Deployments, an Istio VirtualService, another writer, the smallest role."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from guardian.adapters._kube import DEPLOYMENT, KubeClient
from guardian.adapters.routers.istio import VIRTUAL_SERVICE
from simulator.testing.kafka.broker import Kafka
from simulator.testing.kubelab.api import ApiError, KubeApi
from simulator.testing.kubelab.objects import KubernetesLab
from simulator.testing.run import ServiceRun
from tests.e2e.contended import ANNOTATION, ContendedApi
from tests.e2e.mesh import Mesh
from tests.e2e.policies import ERRORS, LATENCY, policy
from tests.e2e.site import Site, SitePlan
from tests.e2e.tape import unexplained
from tests.e2e.waiting import until
from tests.e2e.world import World, WorldPlan, running_world

pytestmark = [pytest.mark.service, pytest.mark.timeout(1500), pytest.mark.xdist_group("e2e-kubernetes")]

ISTIO = "/apis/networking.istio.io/v1/namespaces/{}/virtualservices"
APPS = "/apis/apps/v1/namespaces/{}/deployments"
ROLE = [
    {
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "resourceNames": ["checkout", "checkout-canary"],
        "verbs": ["get", "patch"],
    },
    {
        "apiGroups": ["networking.istio.io"],
        "resources": ["virtualservices"],
        "resourceNames": ["checkout"],
        "verbs": ["get", "patch"],
    },
]
"""Everything the guardian may do there; a rule that it needs and has not would fail the preflight."""
REFUSED = 2
"""Patches that another writer is faster than: the adapter tries twice, then the rollout tries again later."""
OTHER_VERBS = ("list", "watch", "create", "update", "delete", "deletecollection")


class Running(Protocol):
    """What serves from start to stop."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


RunningT = TypeVar("RunningT", bound=Running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The service's namespace and the guardian's own kubeconfig."""

    lab: KubernetesLab
    namespace: str
    kubeconfig: Path

    @property
    def virtual_service(self) -> str:
        """Path of the VirtualService."""
        return f"{ISTIO.format(self.namespace)}/checkout"

    def image(self, deployment: str) -> str:
        """Return the image that a Deployment runs."""
        found = self.lab.api.get(f"{APPS.format(self.namespace)}/{deployment}")
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def made(lab: KubernetesLab) -> Cluster:
    """Make the namespace as a user has it before the first guarded release."""
    namespace = lab.namespace("shop")
    lab.deployment(namespace, "checkout", image="registry/checkout:1.0.0", replicas=2)
    lab.deployment(namespace, "checkout-canary", image="registry/checkout:1.0.0", replicas=0)
    route = [
        {"destination": {"host": "checkout", "subset": "stable"}, "weight": 100},
        {"destination": {"host": "checkout", "subset": "canary"}, "weight": 0},
    ]
    spec = {"hosts": ["checkout"], "http": [{"route": route}]}
    head = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "checkout"}}
    lab.api.post(ISTIO.format(namespace), head | {"spec": spec})
    return Cluster(lab=lab, namespace=namespace, kubeconfig=lab.service_account(namespace, ROLE))


def on_kubernetes(site: Site) -> dict[str, Any]:
    """Return the usual policy, on Deployments and a VirtualService."""
    workload = {"deployment": {"image": "registry/checkout:{revision}"}}
    return policy(site.service, router="istio", guardrails=[ERRORS, LATENCY], workload=workload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What was recorded. answers: of the API server to the guardian's patches of the VirtualService, in order.

    conflicts: how many more patches of VirtualServices it has answered with 409, by its own count; other tests may have
    met some meanwhile.
    """

    cluster: Cluster
    shares: list[float]
    site: Site
    rollout: dict[str, Any]
    answers: list[int]
    conflicts: float


@pytest.fixture(scope="module")
def release(service_run: ServiceRun, kafka: Kafka, kubernetes: KubernetesLab) -> Iterator[Release]:
    """One release on the real API server, with another writer who is faster twice, and a kill in between."""
    cluster = made(kubernetes)
    contended = ContendedApi(KubeApi.of(cluster.kubeconfig), path=cluster.virtual_service, other=kubernetes.api)
    plan = WorldPlan(
        sites=[SitePlan(service="checkout", stable=2, seed=21)],
        policies={"checkout": on_kubernetes},
        places={"kubeconfig": str(contended.kubeconfig(cluster.kubeconfig)), "namespace": cluster.namespace},
    )
    with running(contended), running_world(service_run, kafka, plan) as world:
        site = world.sites["checkout"]
        collection = ISTIO.format(cluster.namespace)
        with running(Mesh(kubernetes.api, collection, "checkout", site.wire, stable=site.servers)) as mesh:
            yield released(world, cluster, mesh, contended)


@contextmanager
def running(one: RunningT) -> Iterator[RunningT]:
    """Start it, and stop it when the block ends."""
    one.start()
    try:
        yield one
    finally:
        one.stop()


def released(world: World, cluster: Cluster, mesh: Mesh, contended: ContendedApi) -> Release:
    """Deploy, have the first weight's first two patches refused, kill the daemon at 50 %, wait for the end."""
    api = cluster.lab.api
    before = conflicts(api)
    contended.arm(REFUSED)
    world.deploy("checkout")
    until(lambda: 0.1 in mesh.shares, what="the VirtualService at 10 %")
    refused = conflicts(api) - before
    until(lambda: 0.5 in mesh.shares, what="the VirtualService at 50 %")
    world.daemon.restart()
    world.daemon.wait_phase("checkout", "verified")
    until(lambda: mesh.shares[-1] == 0.0, what="stable has all traffic after the hand-over")
    rollout = until(lambda: settled(world), what="the canary is stopped")
    return Release(
        cluster=cluster,
        shares=list(mesh.shares),
        site=world.sites["checkout"],
        rollout=rollout,
        answers=list(contended.answers),
        conflicts=refused,
    )


def settled(world: World) -> dict[str, Any]:
    """Return the rollout once nothing is left to be done for it; empty before."""
    found = world.daemon.newest("checkout")
    return found if found and not found["effects"] else {}


def conflicts(api: KubeApi) -> float:
    """Return how many patches of VirtualServices the API server has answered with 409."""
    lines = text_of(api, "/metrics").splitlines()
    wanted = [
        line
        for line in lines
        if line.startswith("apiserver_request_total{")
        and all(part in line for part in ('code="409"', 'resource="virtualservices"', 'verb="PATCH"'))
    ]
    return sum(float(line.rsplit(" ", 1)[1]) for line in wanted)


def test_the_virtual_service_is_patched_step_by_step(release: Release) -> None:
    """10, 50, 100 %, each once, although the daemon was killed in between; then stable takes over."""
    assert release.shares == [0.0, 0.1, 0.5, 1.0, 0.0]
    assert release.rollout["phase"] == "verified"


def test_users_meet_the_weights_of_the_virtual_service(release: Release) -> None:
    """What HAProxy was told and seen to do is what the object says."""
    assert release.site.wire.shares == [0.0, *release.shares]
    assert unexplained(release.site.tape.states, release.site.wire.states) is None


def test_after_the_release_stable_runs_the_new_revision_and_the_canary_has_no_pods(release: Release) -> None:
    """The hand-over is part of the release."""
    cluster = release.cluster
    assert cluster.image("checkout") == "registry/checkout:2.0.0"
    canary = cluster.lab.api.get(f"{APPS.format(cluster.namespace)}/checkout-canary")
    assert canary["spec"]["replicas"] == 0


def test_conflicts_with_another_writer_are_survived(release: Release) -> None:
    """The API server refused a stale write, and the one that followed at once; the weight came by a later attempt.

    The other's annotation stands as it was written last: nothing of the object was written back from memory.
    """
    assert release.answers[: REFUSED + 1] == [409] * REFUSED + [200]
    assert set(release.answers[REFUSED + 1 :]) == {200}
    assert release.conflicts >= REFUSED
    found = release.cluster.lab.api.get(release.cluster.virtual_service)
    assert found["metadata"]["annotations"] == {ANNOTATION: str(REFUSED)}


async def test_the_role_that_sufficed_allows_nothing_else(release: Release) -> None:
    """The API server itself says what the account may do: get and patch these objects, no other verb, no other name."""
    cluster, client = release.cluster, KubeClient.connect(kubeconfig=release.cluster.kubeconfig)
    try:
        for kind, name in ((DEPLOYMENT, "checkout"), (DEPLOYMENT, "checkout-canary"), (VIRTUAL_SERVICE, "checkout")):
            for verb in ("get", "patch"):
                assert await client.may(verb, kind, cluster.namespace, name)
            for verb in OTHER_VERBS:
                assert not await client.may(verb, kind, cluster.namespace, name)
            for verb in ("get", "patch", *OTHER_VERBS):
                assert not await client.may(verb, kind, cluster.namespace, "another")
    finally:
        await client.close()


def test_another_call_is_refused(release: Release) -> None:
    """Not only by review: the call itself is answered 403."""
    api = KubeApi.of(release.cluster.kubeconfig)
    for path in (f"/api/v1/namespaces/{release.cluster.namespace}/secrets", "/api/v1/nodes"):
        with pytest.raises(ApiError) as caught:
            api.get(path)
        assert caught.value.status == 403


def text_of(api: KubeApi, path: str) -> str:
    """Return the text of a GET that is not JSON."""
    request = urllib.request.Request(f"{api.url}{path}", headers=dict(api.headers))  # the lab's own address
    with urllib.request.urlopen(request, timeout=60.0, context=api.tls) as answer:
        return str(answer.read().decode())
