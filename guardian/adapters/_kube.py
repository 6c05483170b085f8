"""Kubernetes as the adapters use it: objects as plain JSON, writes guarded by resourceVersion, errors in our terms.

Calls run in a bounded pool of threads, each with a timeout. A write that met another one is tried once more
on what is there now, then given up as Conflict: whoever else writes there should be heard of. A call that
timed out may have had its effect; since all our writes are absolute, repeating it is harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException, OpenApiException
from kubernetes.config.config_exception import ConfigException

from guardian.core.model import Seconds
from guardian.errors import Absent, AdapterError, Conflict, Refused, Unavailable

T = TypeVar("T")
Json = dict[str, Any]

MANAGER: Final = "slo-guardian"
"""Field manager of everything we write."""
DEADLINE: Final = Seconds(5.0)
AT_ONCE: Final = 8
MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object, as the API names it."""

    group: str
    version: str
    plural: str
    patch: str = MERGE

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}"


DEPLOYMENT: Final = Kind(group="apps", version="v1", plural="deployments", patch=STRATEGIC)


class KubeClient:
    """One cluster. `close` ends its threads and connections."""

    def __init__(self, configuration: client.Configuration, *, where: str, deadline: Seconds = DEADLINE) -> None:
        configuration.retries = urllib3.Retry(0, redirect=0)
        configuration.connection_pool_maxsize = AT_ONCE
        self.where, self._deadline = where, deadline
        self._api = client.ApiClient(configuration)
        self._objects = client.CustomObjectsApi(self._api)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="kubernetes")

    @classmethod
    def connect(
        cls, *, kubeconfig: Path | None = None, context: str | None = None, in_cluster: bool = False
    ) -> KubeClient:
        """Return the cluster of a kubeconfig (default: the user's own), or the one that we run in. It asks nothing yet.

        Raises Refused when the configuration cannot be read.
        """
        configuration = client.Configuration()
        where = "the cluster of this pod" if in_cluster else f"kubeconfig {kubeconfig or 'default'}"
        try:
            if in_cluster:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                file = str(kubeconfig) if kubeconfig is not None else None
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=file, context=context, client_configuration=configuration, persist_config=False
                )
        except (ConfigException, OSError, ValueError) as error:
            remedy = "check kubeconfig, context and inCluster of the environment in guardian.yaml"
            raise Refused(str(error), where=where, remedy=remedy) from error
        return cls(configuration, where=f"{where} ({configuration.host})")

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        """Return an object. Raises Absent when it is not there."""
        call = partial(
            self._objects.get_namespaced_custom_object,
            group=kind.group, version=kind.version, namespace=namespace, plural=kind.plural, name=name,
        )  # fmt: skip
        return await self._call(call, f"{kind} {namespace}/{name}")

    async def patch(self, kind: Kind, namespace: str, name: str, body: Json) -> Json:
        """Merge `body` into an object and return the outcome. Raises Conflict when its resourceVersion is old."""
        call = partial(
            self._objects.patch_namespaced_custom_object,
            group=kind.group, version=kind.version, namespace=namespace, plural=kind.plural, name=name,
            body=body, field_manager=MANAGER, _content_type=kind.patch,
        )  # fmt: skip
        return await self._call(call, f"{kind} {namespace}/{name}")

    async def change(self, kind: Kind, namespace: str, name: str, change: Callable[[Json], Json | None]) -> Json:
        """Read an object and merge in what `change` makes of it; None: it is as it should be, nothing is written.

        The write carries the resourceVersion that was read. When that is no longer the newest, once more;
        then Conflict.
        """
        found = await self.get(kind, namespace, name)
        try:
            return await self._changed(kind, found, change)
        except Conflict:
            return await self._changed(kind, await self.get(kind, namespace, name), change)

    async def _changed(self, kind: Kind, found: Json, change: Callable[[Json], Json | None]) -> Json:
        body = change(found)
        if body is None:
            return found
        meta = found["metadata"]
        guarded = {**body, "metadata": {**body.get("metadata", {}), "resourceVersion": meta["resourceVersion"]}}
        return await self.patch(kind, meta["namespace"], meta["name"], guarded)

    async def may(self, verb: str, kind: Kind, namespace: str, name: str) -> bool:
        """Say whether we have the right to do this, by asking the API server (SelfSubjectAccessReview)."""
        attributes = {"verb": verb, "group": kind.group, "resource": kind.plural, "namespace": namespace, "name": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        call = partial(
            self._objects.create_cluster_custom_object,
            group="authorization.k8s.io", version="v1", plural="selfsubjectaccessreviews", body=review,
        )  # fmt: skip
        answer = await self._call(call, "selfsubjectaccessreviews")
        return bool(answer.get("status", {}).get("allowed", False))

    async def need(self, verbs: tuple[str, ...], kind: Kind, namespace: str, name: str) -> None:
        """Raise Refused, with the rule that is missing, unless we may do all of this."""
        missing = [verb for verb in verbs if not await self.may(verb, kind, namespace, name)]
        if missing:
            of = f"apiGroups: [{kind.group}], resources: [{kind.plural}], resourceNames: [{name}]"
            rule = f"{{{of}, verbs: [{', '.join(missing)}]}}"
            raise Refused(
                f"the guardian may not {' or '.join(missing)} {kind} {namespace}/{name}",
                where=self.where,
                remedy=f"add to its Role in {namespace}: {rule}",
            )

    async def _call(self, call: Callable[..., Any], what: str) -> Json:
        bounded = partial(call, _request_timeout=float(self._deadline))
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, bounded)
        except ApiException as error:
            raise refusal(error, what=what, where=self.where) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(
                f"{what}: no answer from the API server: {_cause(error)}",
                where=self.where,
                remedy="check that it is up and reachable; the call will be repeated",
            ) from error
        except OpenApiException as error:
            raise Refused(f"{what}: {error}", where=self.where, remedy="check the names in the policy") from error
        if not isinstance(answer, dict):
            raise Unavailable(f"{what}: the answer is no object", where=self.where, remedy="check the address")
        return answer

    async def close(self) -> None:
        """Let go of threads and connections; a call under way is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._api.close)


def refusal(error: ApiException, *, what: str, where: str) -> AdapterError:
    """Return what the API server said, in our terms."""
    text = f"{what}: {error.status} {message_of(error)}"
    match error.status:
        case 409:
            return Conflict(text, where=where, remedy="somebody else writes there, too; it will be read again")
        case 401:
            return Refused(text, where=where, remedy="renew the credentials in the kubeconfig")
        case 403:
            return Refused(text, where=where, remedy="give the guardian's Role this right")
        case 404:
            return Absent(text, where=where, remedy="create it, or mend its name in the policy or guardian.yaml")
        case 408 | 429 | 500 | 502 | 503 | 504:
            return Unavailable(text, where=where, remedy="it will be repeated; see the API server's log")
        case _:
            return Refused(text, where=where, remedy="the API server does not accept the change; see its words")


class _Status(msgspec.Struct):
    message: str = ""


def message_of(error: ApiException) -> str:
    """Return the API server's own words."""
    try:
        return msgspec.json.decode(error.body or b"{}", type=_Status).message or str(error.reason)
    except (msgspec.MsgspecError, TypeError):
        return str(error.reason)


def _cause(error: BaseException) -> str:
    inner: BaseException = getattr(error, "reason", None) or error
    return str(inner) or type(inner).__name__
