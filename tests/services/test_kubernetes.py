"""The control plane of the tests: real answers to patches, conflicts, rights and refusals; faults of the API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from kubernetes.client import ApiClient, ApiException, AppsV1Api, CoreV1Api, CustomObjectsApi
from kubernetes.config import new_client_from_config
from urllib3.exceptions import HTTPError

from simulator.testing.errors import ServiceError
from simulator.testing.kubelab.api import ApiError, KubeApi
from simulator.testing.kubelab.lab import KUBECONFIG_VARIABLE, shared_kubernetes
from simulator.testing.kubelab.objects import KubernetesLab, wait_until
from simulator.testing.plugin import MakeLab
from simulator.testing.run import ServiceRun

ISTIO = "/apis/networking.istio.io/v1/namespaces/{}/virtualservices"


def weights(stable: int, canary: int) -> dict[str, Any]:
    """Spec of a VirtualService over two subsets."""
    route = [
        {"destination": {"host": "web", "subset": "stable"}, "weight": stable},
        {"destination": {"host": "web", "subset": "canary"}, "weight": canary},
    ]
    return {"hosts": ["web"], "http": [{"route": route}]}


def virtual_service(stable: int = 100, canary: int = 0) -> dict[str, Any]:
    """A whole VirtualService named web."""
    head = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "web"}}
    return head | {"spec": weights(stable, canary)}


def client(kubeconfig: Path) -> ApiClient:
    """The official client, as the product uses it."""
    return cast("ApiClient", new_client_from_config(config_file=str(kubeconfig)))  # type: ignore[no-untyped-call]


def test_a_deployment_becomes_available_and_a_new_image_replaces_its_pods(kubernetes: KubernetesLab) -> None:
    """Deployment, ReplicaSet, scheduler and the kubelets' stand-in work together."""
    namespace = kubernetes.namespace()
    kubernetes.deployment(namespace, "web", image="registry/web:1.0.0", replicas=3)
    with client(kubernetes.kubeconfig) as api:
        template = {"spec": {"containers": [{"name": "app", "image": "registry/web:2.0.0"}]}}
        AppsV1Api(api).patch_namespaced_deployment("web", namespace, {"spec": {"template": template}})
        kubernetes.wait_available(namespace, "web")
    pods = kubernetes.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    running = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert {pod["spec"]["containers"][0]["image"] for pod in running} == {"registry/web:2.0.0"}
    assert len({pod["status"]["podIP"] for pod in running}) == 3


def test_pods_that_never_become_ready_keep_the_deployment_unavailable(kubernetes: KubernetesLab) -> None:
    """The stuck release."""
    namespace = kubernetes.namespace()
    with pytest.raises(ServiceError, match="is not available after 1 s"):
        kubernetes.deployment(namespace, "web", annotations={"guardian.test/ready": "never"}, deadline=1.0)
    [one, _] = kubernetes.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    assert (one["status"]["phase"], one["status"]["containerStatuses"][0]["ready"]) == ("Running", False)


def test_pods_can_become_ready_late_and_unready_again(kubernetes: KubernetesLab) -> None:
    """Readiness is something a release may lose."""
    namespace = kubernetes.namespace()
    begin = time.monotonic()
    kubernetes.deployment(namespace, "web", replicas=1, annotations={"guardian.test/ready-after": "1"})
    assert time.monotonic() - begin >= 1.0
    [pod] = kubernetes.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    kubernetes.set_ready(namespace, pod["metadata"]["name"], ready=False)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    wait_until(lambda: "availableReplicas" not in kubernetes.api.get(path)["status"], what="web is available")


def test_a_virtual_service_is_patched_and_a_stale_write_is_a_conflict(kubernetes: KubernetesLab) -> None:
    """Two writers: the second must read again."""
    path = ISTIO.format(kubernetes.namespace())
    first = kubernetes.api.post(path, virtual_service())
    stale = first["metadata"]["resourceVersion"]
    kubernetes.api.patch(f"{path}/web", {"spec": weights(90, 10)})
    with pytest.raises(ApiError, match="the object has been modified") as caught:
        kubernetes.api.patch(f"{path}/web", {"metadata": {"resourceVersion": stale}, "spec": weights(50, 50)})
    assert caught.value.status == 409
    route = kubernetes.api.get(f"{path}/web")["spec"]["http"][0]["route"]
    assert [one["weight"] for one in route] == [90, 10]


def test_the_official_schema_refuses_a_weight_that_cannot_be(kubernetes: KubernetesLab) -> None:
    """The definitions are Istio's own, not look-alikes."""
    wrong = virtual_service()
    wrong["spec"]["http"][0]["route"][0]["weight"] = "all"
    with pytest.raises(ApiError, match=r"weight.*must be of type integer") as caught:
        kubernetes.api.post(ISTIO.format(kubernetes.namespace()), wrong)
    assert caught.value.status == 422


def test_an_account_may_do_what_its_rules_say_and_nothing_else(kubernetes: KubernetesLab) -> None:
    """The smallest role that does the job can be found by trying."""
    namespace, other = kubernetes.namespace(), kubernetes.namespace()
    for place in (namespace, other):
        kubernetes.api.post(ISTIO.format(place), virtual_service())
    rule = {
        "apiGroups": ["networking.istio.io"],
        "resources": ["virtualservices"],
        "resourceNames": ["web"],
        "verbs": ["get", "patch"],
    }
    with client(kubernetes.service_account(namespace, [rule])) as api:
        own = ("networking.istio.io", "v1", namespace, "virtualservices", "web")
        body = {"spec": weights(80, 20)}
        patched: Any = CustomObjectsApi(api).patch_namespaced_custom_object(*own, body)
        assert patched["spec"]["http"][0]["route"][1]["weight"] == 20
        attempts: list[Callable[[], object]] = [
            lambda: CustomObjectsApi(api).delete_namespaced_custom_object(*own),
            lambda: CustomObjectsApi(api).get_namespaced_custom_object(*own[:2], other, *own[3:]),
            lambda: CoreV1Api(api).list_namespaced_secret(namespace),
            lambda: CoreV1Api(api).list_node(),
        ]
        for attempt in attempts:
            with pytest.raises(ApiException) as caught:
                attempt()
            assert caught.value.status == 403


def test_a_refusal_begins_and_ends_with_its_block(kubernetes: KubernetesLab) -> None:
    """An API server that says no, staged for one kind in one namespace."""
    namespace, other = kubernetes.namespace(), kubernetes.namespace()
    path = ISTIO.format(namespace)
    kubernetes.api.post(path, virtual_service())
    with kubernetes.refusing(namespace, "networking.istio.io", "virtualservices", message="change freeze"):
        with pytest.raises(ApiError, match="change freeze") as caught:
            kubernetes.api.patch(f"{path}/web", {"spec": weights(50, 50)})
        kubernetes.api.post(ISTIO.format(other), virtual_service())
    assert caught.value.status == 422
    kubernetes.api.patch(f"{path}/web", {"spec": weights(50, 50)})


async def test_a_frozen_api_server_times_out_and_goes_on(kubernetes_own: MakeLab) -> None:
    """SIGSTOP: connections are taken and never answered."""
    own = await asyncio.to_thread(kubernetes_own)
    own.apiserver.pause()
    with client(own.lab.kubeconfig) as api, pytest.raises(HTTPError):
        CoreV1Api(api).list_namespace(_request_timeout=0.5)
    own.apiserver.resume()
    assert await asyncio.to_thread(own.lab.namespace)


def test_the_state_survives_a_killed_api_server(kubernetes_own: MakeLab) -> None:
    """SIGKILL and start: objects are etcd's, and the other parts find it again."""
    own = kubernetes_own()
    namespace = own.lab.namespace()
    own.lab.deployment(namespace, "web", replicas=2)
    own.apiserver.kill()
    with pytest.raises(ConnectionRefusedError):
        own.lab.api.get("/api/v1/nodes")
    own.start_apiserver()
    scale = f"/apis/apps/v1/namespaces/{namespace}/deployments/web/scale"
    own.lab.api.patch(scale, {"spec": {"replicas": 4}})
    assert own.lab.wait_available(namespace, "web", deadline=60.0)["status"]["availableReplicas"] == 4


def test_a_named_cluster_is_used_and_a_wrong_name_is_a_clear_error(
    kubernetes: KubernetesLab, service_run: ServiceRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever has a test cluster need not build one."""
    monkeypatch.setenv(KUBECONFIG_VARIABLE, str(kubernetes.kubeconfig))
    assert shared_kubernetes(service_run).api.url == kubernetes.api.url
    monkeypatch.setenv(KUBECONFIG_VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(ServiceError, match=rf"{KUBECONFIG_VARIABLE}: .*absent is not a file; mend or unset it"):
        shared_kubernetes(service_run)


def test_a_kubeconfig_without_credentials_is_refused(tmp_path: Path, kubernetes: KubernetesLab) -> None:
    """Anonymous calls would only be denied later, with less to go by."""
    text = kubernetes.kubeconfig.read_text()
    (tmp_path / "anonymous").write_text(text.replace("client-certificate-data", "nothing"))
    with pytest.raises(ServiceError, match="neither certificate nor token"):
        KubeApi.of(tmp_path / "anonymous")
