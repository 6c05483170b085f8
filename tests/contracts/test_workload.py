"""Every workload keeps its promise: absolute, idempotent, ready when it returns; preflight says what would not work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from guardian.adapters._kube import KubeClient
from guardian.adapters.workloads.deployment import PREVIOUS, DeploymentWorkload
from guardian.adapters.workloads.memory import MemoryWorkload
from guardian.core.model import Place, Revision, Track
from guardian.errors import Refused
from guardian.ports import Inspection, Target, Workload
from simulator.testing.kubelab.api import STRATEGIC
from simulator.testing.kubelab.kubelet import running
from simulator.testing.kubelab.objects import KubernetesLab

CHECKOUT = Place(service="checkout", environment="production")
OLD, NEW = Revision("1.0.0"), Revision("2.1.0")


class Both(Workload, Inspection, Protocol):
    """A workload that can also be inspected."""


def target(**options: object) -> Target:
    """What a policy names."""
    return Target(place=CHECKOUT, options=options)


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    """A cluster's client, until the block ends."""
    cluster = KubeClient.connect(kubeconfig=kubeconfig)
    try:
        yield cluster
    finally:
        await cluster.close()


def pair(kubernetes: KubernetesLab) -> str:
    """A namespace with stable (2 pods of 1.0.0) and a canary at rest."""
    namespace = kubernetes.namespace()
    kubernetes.deployment(namespace, "checkout", image="registry/checkout:1.0.0", replicas=2)
    kubernetes.deployment(namespace, "checkout-canary", image="registry/checkout:0.9.0", replicas=0)
    return namespace


def found(kubernetes: KubernetesLab, namespace: str, name: str) -> dict[str, Any]:
    """A Deployment as it is."""
    return kubernetes.api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")


def shape(deployment: dict[str, Any]) -> tuple[str, int, int]:
    """Image, replicas wanted, replicas available."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return container["image"], deployment["spec"]["replicas"], deployment["status"].get("availableReplicas", 0)


def crash(kubernetes: KubernetesLab, namespace: str, prefix: str) -> None:
    """Have the pods whose names begin so run without being ready."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    pods = [pod for pod in kubernetes.api.get(path)["items"] if pod["metadata"]["name"].startswith(prefix)]
    for pod in pods:
        body = running(pod, pod["status"]["podIP"], ready=False)
        kubernetes.api.patch(f"{path}/{pod['metadata']['name']}/status", body, kind=STRATEGIC)


async def keeps_its_promise(workload: Both, where: Target) -> None:
    """The promise of the port, whatever the platform; each order twice."""
    await workload.check(where, NEW)
    assert await workload.stable_revision(where) == OLD
    for _ in range(2):
        await workload.start_canary(where, NEW)
    assert await workload.stable_revision(where) == OLD
    for _ in range(2):
        await workload.make_stable(where, NEW)
    assert await workload.stable_revision(where) == NEW
    for _ in range(2):
        await workload.stop_canary(where)
    await workload.make_stable(where, OLD)
    assert await workload.stable_revision(where) == OLD


async def test_memory_keeps_the_promise() -> None:
    """The one to try policies with."""
    workload = MemoryWorkload({CHECKOUT: OLD})
    await keeps_its_promise(workload, target())
    assert workload.canary == {}


@pytest.mark.service
async def test_deployments_keep_the_promise_on_a_real_api_server(kubernetes: KubernetesLab) -> None:
    """Real controllers replace the pods; each call returns when they are ready."""
    namespace = await asyncio.to_thread(pair, kubernetes)
    async with connected(kubernetes.kubeconfig) as cluster:
        workload = DeploymentWorkload(cluster, namespace=namespace)
        await keeps_its_promise(workload, target(image="registry/checkout:{revision}"))


@pytest.mark.service
async def test_the_canary_is_ready_when_its_start_returns_and_gone_when_its_stop_does(
    kubernetes: KubernetesLab,
) -> None:
    """As many pods as stable, unless the policy says how many; stable is not touched."""
    namespace = await asyncio.to_thread(pair, kubernetes)
    async with connected(kubernetes.kubeconfig) as cluster:
        workload = DeploymentWorkload(cluster, namespace=namespace)
        where = target(image="registry/checkout:{revision}")
        await workload.start_canary(where, NEW)
        canary = found(kubernetes, namespace, "checkout-canary")
        assert shape(canary) == ("registry/checkout:2.1.0", 2, 2)
        assert canary["metadata"]["annotations"][PREVIOUS] == "registry/checkout:0.9.0"
        await workload.start_canary(target(image="registry/checkout:{revision}", replicas=1), NEW)
        assert shape(found(kubernetes, namespace, "checkout-canary")) == ("registry/checkout:2.1.0", 1, 1)
        await workload.stop_canary(where)
        assert found(kubernetes, namespace, "checkout-canary")["status"].get("replicas", 0) == 0
    assert shape(found(kubernetes, namespace, "checkout")) == ("registry/checkout:1.0.0", 2, 2)


@pytest.mark.service
async def test_ready_pods_are_told_by_track(kubernetes: KubernetesLab) -> None:
    """Pods that run and are not ready cannot serve; a Deployment at rest, or gone, has none."""
    namespace = await asyncio.to_thread(pair, kubernetes)
    where = target(image="registry/checkout:{revision}")
    async with connected(kubernetes.kubeconfig) as cluster:
        workload = DeploymentWorkload(cluster, namespace=namespace)
        assert await workload.ready(where, Track.CANARY) == 0
        await workload.start_canary(where, NEW)
        assert [await workload.ready(where, track) for track in (Track.CANARY, Track.STABLE)] == [2, 2]
        await asyncio.to_thread(crash, kubernetes, namespace, "checkout-canary-")
        async with asyncio.timeout(30):
            while await workload.ready(where, Track.CANARY):  # noqa: ASYNC110  the controller counts them in its own time
                await asyncio.sleep(0.1)
        assert await workload.ready(where, Track.STABLE) == 2
        assert await workload.ready(target(image="registry/x:{revision}", canary="gone"), Track.CANARY) == 0


@pytest.mark.service
async def test_what_runs_already_is_not_written_again(kubernetes: KubernetesLab) -> None:
    """A repeat after a crash starts no new pods."""
    namespace = await asyncio.to_thread(pair, kubernetes)
    async with connected(kubernetes.kubeconfig) as cluster:
        workload = DeploymentWorkload(cluster, namespace=namespace)
        where = target(image="registry/checkout:{revision}")
        await workload.make_stable(where, NEW)
        generation = found(kubernetes, namespace, "checkout")["metadata"]["generation"]
        await workload.make_stable(where, NEW)
        assert found(kubernetes, namespace, "checkout")["metadata"]["generation"] == generation


@pytest.mark.service
async def test_what_cannot_be_told_by_the_template_is_its_own_revision_and_is_never_brought_up(
    kubernetes: KubernetesLab,
) -> None:
    """An image from elsewhere may run at installation; no event may choose another repository than the policy's."""
    namespace = await asyncio.to_thread(kubernetes.namespace)
    image = "elsewhere/checkout@sha256:" + "0" * 64
    await asyncio.to_thread(lambda: kubernetes.deployment(namespace, "checkout", image=image, replicas=1))
    async with connected(kubernetes.kubeconfig) as cluster:
        workload = DeploymentWorkload(cluster, namespace=namespace)
        where = target(image="registry/checkout:{revision}")
        before = await workload.stable_revision(where)
        assert before == image
        with pytest.raises(Refused, match="another repository"):
            await workload.make_stable(where, Revision(image))
    assert shape(found(kubernetes, namespace, "checkout"))[0] == image


@pytest.mark.service
async def test_a_deployment_that_makes_no_progress_is_refused_with_the_platforms_words(
    kubernetes: KubernetesLab,
) -> None:
    """Pods that never become ready: Kubernetes gives up after progressDeadlineSeconds, and so do we."""
    namespace = await asyncio.to_thread(pair, kubernetes)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/checkout-canary"
    unschedulable = {"nodeSelector": {"no": "such-node"}}
    kubernetes.api.patch(path, {"spec": {"progressDeadlineSeconds": 1, "template": {"spec": unschedulable}}})
    async with connected(kubernetes.kubeconfig) as cluster:
        workload = DeploymentWorkload(cluster, namespace=namespace)
        with pytest.raises(Refused, match=r"makes no progress: .*; see `kubectl .* describe pods`"):
            await workload.start_canary(target(image="registry/checkout:{revision}"), NEW)


@pytest.mark.service
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "option 'image' is missing"),
        ({"image": "registry/checkout"}, "does not say where the revision goes; write registry/x:{revision}"),
        ({"image": "registry/x:{revision}", "deployment": "chekout"}, "404 .*create Deployment chekout in namespace"),
        ({"image": "registry/x:{revision}", "canary": "other"}, "404 .*create Deployment other: checkout again"),
        (
            {"image": "registry/x:{revision}", "container": "web"},
            "no container 'web'; set option container: one of app",
        ),
        ({"image": "registry/x:{revision}", "replicas": "two"}, "option 'replicas' is 'two', not a number"),
        ({"image": "registry/x:{revision}", "imagee": "x"}, "no option 'imagee'; known: canary, container"),
    ],
)
async def test_preflight_says_what_would_not_work(
    kubernetes: KubernetesLab, options: dict[str, object], said: str
) -> None:
    """Before anything is touched, with the remedy."""
    namespace = await asyncio.to_thread(pair, kubernetes)
    async with connected(kubernetes.kubeconfig) as cluster:
        with pytest.raises(Refused, match=f"(?s).*{said}"):
            await DeploymentWorkload(cluster, namespace=namespace).check(target(**options), NEW)


RULES = [
    {
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "resourceNames": ["checkout", "checkout-canary"],
        "verbs": ["get", "patch"],
    }
]


@pytest.mark.service
async def test_get_and_patch_of_two_objects_are_all_it_needs(kubernetes: KubernetesLab) -> None:
    """The Role in the handbook is enough for a whole rollout; less is found before the start."""
    namespace = await asyncio.to_thread(pair, kubernetes)
    where = target(image="registry/checkout:{revision}")
    may = await asyncio.to_thread(kubernetes.service_account, namespace, RULES)
    async with connected(may) as cluster:
        await keeps_its_promise(DeploymentWorkload(cluster, namespace=namespace), where)
    rules = [RULES[0] | {"verbs": ["get"]}]
    reader = await asyncio.to_thread(lambda: kubernetes.service_account(namespace, rules, name="reader"))
    async with connected(reader) as cluster:
        with pytest.raises(Refused, match=r"may not patch deployments\.apps .*resourceNames: \[checkout\]"):
            await DeploymentWorkload(cluster, namespace=namespace).check(where, NEW)


def test_a_kubeconfig_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    """Said at the start, with the key to mend."""
    with pytest.raises(Refused, match="check kubeconfig, context and inCluster"):
        KubeClient.connect(kubeconfig=tmp_path / "absent")
    with pytest.raises(Refused, match="check kubeconfig, context and inCluster"):
        KubeClient.connect(in_cluster=True)
