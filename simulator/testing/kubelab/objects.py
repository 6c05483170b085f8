"""What tests make in a lab: namespaces of their own, accounts with few rights, refusals by the API server.

For the set-up only: what the product writes, it writes with its own client.
"""

from __future__ import annotations

import base64
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from simulator.testing.errors import ServiceError
from simulator.testing.kubelab.api import STRATEGIC, ApiError, Json, KubeApi
from simulator.testing.kubelab.kubelet import condition
from simulator.testing.kubelab.pki import write_kubeconfig

PROBE: Final = "refusal-probe"
POLICIES: Final = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS: Final = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesLab:
    """One API server that tests may write to. kubeconfig: of its administrator. folder: for files of the tests."""

    kubeconfig: Path
    folder: Path
    api: KubeApi

    @classmethod
    def of(cls, kubeconfig: Path, folder: Path) -> KubernetesLab:
        """The lab that a kubeconfig leads to."""
        return cls(kubeconfig=kubeconfig, folder=folder, api=KubeApi.of(kubeconfig))

    def namespace(self, name: str = "test") -> str:
        """Make a namespace; its name begins with `name` and is unique. Pods can be made in it at once."""
        unique = f"{name}-{uuid.uuid4().hex[:10]}"
        self.api.post("/api/v1/namespaces", {"metadata": {"name": unique}})
        path = f"/api/v1/namespaces/{unique}/serviceaccounts/default"
        wait_until(lambda: _exists(self.api, path), what=f"{path} was not made")
        return unique

    def deployment(
        self,
        namespace: str,
        name: str,
        *,
        image: str = "registry/app:1.0.0",
        replicas: int = 2,
        annotations: Mapping[str, str] | None = None,
        deadline: float = 120.0,
    ) -> None:
        """Make a Deployment with label app=name and wait until it is available. annotations: of its pods."""
        labels = {"app": name}
        template = {
            "metadata": {"labels": labels, "annotations": dict(annotations or {})},
            "spec": {"containers": [{"name": "app", "image": image}], "terminationGracePeriodSeconds": 0},
        }
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        body = {"metadata": {"name": name}, "spec": spec}
        self.api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
        self.wait_available(namespace, name, deadline=deadline)

    def wait_available(self, namespace: str, name: str, *, deadline: float = 120.0) -> Json:
        """The Deployment once all its replicas are of its newest template and available."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        found: Json = {}

        def available() -> bool:
            found.update(self.api.get(path))
            spec, status = found["spec"], found.get("status", {})
            counts = [status.get(kind, 0) for kind in ("replicas", "updatedReplicas", "availableReplicas")]
            fresh = status.get("observedGeneration") == found["metadata"]["generation"]
            return fresh and counts == [spec["replicas"]] * 3

        wait_until(available, what=f"{path} is not available", deadline=deadline)
        return found

    def set_ready(self, namespace: str, pod: str, *, ready: bool) -> None:
        """Have the pod reported as ready or not."""
        conditions = [condition("Ready", ready=ready), condition("ContainersReady", ready=ready)]
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/status"
        self.api.patch(path, {"status": {"conditions": conditions}}, kind=STRATEGIC)

    def service_account(self, namespace: str, rules: Sequence[Mapping[str, Any]], *, name: str = "guardian") -> Path:
        """Kubeconfig of a service account that may do what the rules (as in a Role) say, in its namespace only."""
        base, rbac = f"/api/v1/namespaces/{namespace}", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        meta = {"metadata": {"name": name}}
        self.api.post(f"{base}/serviceaccounts", meta)
        self.api.post(f"{rbac}/roles", meta | {"rules": [dict(rule) for rule in rules]})
        binding = {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }
        self.api.post(f"{rbac}/rolebindings", meta | binding)
        asked = self.api.post(f"{base}/serviceaccounts/{name}/token", {"spec": {"expirationSeconds": 7200}})
        file = self.folder / f"{namespace}-{name}.kubeconfig"
        write_kubeconfig(
            file,
            url=self.api.url,
            authority=_authority(self.api.tls),
            user={"token": asked["status"]["token"]},
            namespace=namespace,
        )
        return file

    @contextmanager
    def refusing(self, namespace: str, group: str, resource: str, *, message: str) -> Iterator[None]:
        """While the block runs, the API server refuses (422) every write to the resource in the namespace.

        group: API group, empty for the core. In force when the block begins, and no longer when it is left.
        """
        name = f"refuse-{uuid.uuid4().hex[:10]}"
        self.api.post(POLICIES, _policy(name, group, resource, message))
        selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        spec = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}}
        self.api.post(BINDINGS, {"metadata": {"name": name}, "spec": spec})
        try:
            wait_until(lambda: self._refuses(namespace), what=f"{resource} is not refused")
            yield
        finally:
            self.api.delete(f"{BINDINGS}/{name}")
            self.api.delete(f"{POLICIES}/{name}")
        wait_until(lambda: not self._refuses(namespace), what=f"{resource} is still refused")

    def _refuses(self, namespace: str) -> bool:
        """Whether the policy is in force: it also refuses a configmap of one name, which is asked for in vain."""
        path = f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All"
        try:
            self.api.post(path, {"metadata": {"name": PROBE}})
        except ApiError as error:
            return error.status == 422
        return False


def wait_until(true: Callable[[], bool], *, what: str, deadline: float = 120.0) -> None:
    """Wait until `true()`; ServiceError saying `what` after the deadline (s)."""
    limit = time.monotonic() + deadline
    while not true():
        if time.monotonic() > limit:
            raise ServiceError(f"{what} after {deadline:g} s", where="kubernetes lab")
        time.sleep(0.02)


def _policy(name: str, group: str, resource: str, message: str) -> Json:
    def rule(api_group: str, kind: str) -> Json:
        operations = ["CREATE", "UPDATE", "DELETE"]
        return {"apiGroups": [api_group], "apiVersions": ["*"], "operations": operations, "resources": [kind]}

    condition_text = f"request.resource.resource != 'configmaps' || request.name == '{PROBE}'"
    rules = [rule(group, resource), *([] if resource == "configmaps" else [rule("", "configmaps")])]
    return {
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": rules},
            "matchConditions": [{"name": "meant", "expression": condition_text}],
            "validations": [{"expression": "false", "message": message}],
        },
    }


def _exists(api: KubeApi, path: str) -> bool:
    try:
        api.get(path)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _authority(tls: ssl.SSLContext) -> str:
    [certificate] = tls.get_ca_certs(binary_form=True)
    return base64.b64encode(ssl.DER_cert_to_PEM_cert(certificate).encode()).decode()
