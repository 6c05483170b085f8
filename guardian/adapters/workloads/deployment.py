"""A pair of Kubernetes Deployments as a workload: stable, and the canary beside it with 0 replicas at rest.

Options: `image` (template, `registry/x:{revision}`), `namespace` (default: the environment's), `deployment`
(default: the service), `canary` (default: its name + `-canary`), `container` (default: the only one),
`replicas` (of the canary; default: as many as stable). The image that a change replaced is kept in the
annotation slo-guardian/previous-image.

It waits until the pods are ready and does not give up before the caller does, unless Kubernetes itself says
that the Deployment makes no progress. Fencing: compare-and-set on resourceVersion.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from guardian.adapters import _options
from guardian.adapters._kube import DEPLOYMENT, Json, KubeClient
from guardian.core.model import Revision, Seconds, Track
from guardian.errors import Absent, Refused
from guardian.ports import Target

OPTIONS: Final = ("image", "namespace", "deployment", "canary", "container", "replicas")
LOOK_EVERY: Final = Seconds(0.5)
PREVIOUS: Final = "slo-guardian/previous-image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two Deployments, and the container whose image is the revision."""

    namespace: str
    stable: str
    canary: str
    container: str
    image: str
    replicas: int | None


def pair_of(target: Target, *, namespace: str) -> Pair:
    """Return what a target's options name. Raises Refused, also when the image has no place for the revision."""
    _options.allowed(target, OPTIONS, kind="workload deployment")
    image = _options.text(target, "image")
    if image.count("{revision}") != 1:
        raise Refused(
            f"image '{image}' does not say where the revision goes",
            where=str(target.place),
            remedy="write registry/x:{revision}",
        )
    stable = _options.text(target, "deployment", target.place.service)
    replicas = int(_options.number(target, "replicas", 0)) if "replicas" in target.options else None
    return Pair(
        namespace=_options.text(target, "namespace", namespace),
        stable=stable,
        canary=_options.text(target, "canary", f"{stable}-canary"),
        container=str(target.options.get("container", "")),
        image=image,
        replicas=replicas,
    )


def image_of(pair: Pair, revision: Revision) -> str:
    """Return the image of a revision; one that is a whole image reference already is taken as it is.

    A tag cannot hold `/` or `@`, so the two cannot be mistaken for each other. Raises Refused for a reference to
    another repository than the policy's: whoever may send events must not choose where images come from.
    """
    if "/" not in revision and "@" not in revision:
        return pair.image.replace("{revision}", revision)
    if repository_of(revision) != repository_of(pair.image):
        raise Refused(
            f"revision '{revision}' is an image of another repository than the policy's '{pair.image}'",
            remedy="send a tag or digest of that repository, or change the workload's image in the policy",
        )
    return revision


def repository_of(image: str) -> str:
    """Return an image reference without its tag and digest.

    >>> repository_of("registry:5000/shop/checkout:{revision}"), repository_of("shop/x@sha256:ab")
    ('registry:5000/shop/checkout', 'shop/x')
    """
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def revision_of(pair: Pair, image: str) -> Revision:
    """Return the revision that an image is; an image of another form is its own revision."""
    before, after = pair.image.split("{revision}")
    found = re.fullmatch(f"{re.escape(before)}([^/@]+){re.escape(after)}", image)
    return Revision(found[1] if found else image)


def container_of(found: Json, pair: Pair) -> Json:
    """Return the container that runs the revision. Raises Refused when it is not there, or not the only one."""
    containers: list[Json] = found["spec"]["template"]["spec"]["containers"]
    named = [one for one in containers if pair.container in {"", one["name"]}]
    if len(named) == 1:
        return named[0]
    names = ", ".join(one["name"] for one in containers)
    raise Refused(
        f"Deployment {pair.namespace}/{found['metadata']['name']} has no container '{pair.container}'"
        if pair.container
        else f"Deployment {pair.namespace}/{found['metadata']['name']} has several containers",
        where=f"namespace {pair.namespace}",
        remedy=f"set option container: one of {names}",
    )


def with_image(found: Json, pair: Pair, image: str, replicas: int | None) -> Json | None:
    """Return the patch that has a Deployment run this image with so many replicas; None when it does."""
    container = container_of(found, pair)
    body: dict[str, Any] = {}
    if replicas is not None and found["spec"].get("replicas") != replicas:
        body["spec"] = {"replicas": replicas}
    if container.get("image") != image:
        template = {"spec": {"containers": [{"name": container["name"], "image": image}]}}
        body["spec"] = {**body.get("spec", {}), "template": template}
        body["metadata"] = {"annotations": {PREVIOUS: container.get("image", "")}}
    return body or None


def scaled(found: Json, replicas: int) -> Json | None:
    """Return the patch that gives a Deployment so many replicas; None when it has them."""
    return None if found["spec"].get("replicas") == replicas else {"spec": {"replicas": replicas}}


def settled(found: Json) -> bool:
    """Whether all pods are of the newest template, ready, and no others are left. Raises Refused when it is stuck."""
    status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return False
    if all(status.get(name, 0) == wanted for name in ("replicas", "updatedReplicas", "availableReplicas")):
        return True
    for condition in status.get("conditions", []):
        if condition.get("reason") == "ProgressDeadlineExceeded":
            meta = found["metadata"]
            raise Refused(
                f"Deployment {meta['namespace']}/{meta['name']} makes no progress: {condition.get('message', '')}",
                where=f"namespace {meta['namespace']}",
                remedy=f"see `kubectl -n {meta['namespace']} describe pods`: image, probes, resources",
            )
    return False


class DeploymentWorkload:
    """Workload, Inspection and Readiness over pairs of Deployments of one cluster."""

    def __init__(self, cluster: KubeClient, *, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace

    async def start_canary(self, target: Target, revision: Revision) -> None:
        """Have the canary run this revision, ready to serve. See Workload."""
        pair = pair_of(target, namespace=self._namespace)
        replicas = pair.replicas
        if replicas is None:
            stable = await self._cluster.get(DEPLOYMENT, pair.namespace, pair.stable)
            replicas = max(1, int(stable["spec"].get("replicas", 1)))
        await self._run(pair, pair.canary, image_of(pair, revision), replicas)

    async def make_stable(self, target: Target, revision: Revision) -> None:
        """Have stable run this revision, with the replicas it has. See Workload."""
        pair = pair_of(target, namespace=self._namespace)
        await self._run(pair, pair.stable, image_of(pair, revision), None)

    async def stop_canary(self, target: Target) -> None:
        """Leave the canary no pods: a Deployment that is gone has none. See Workload."""
        pair = pair_of(target, namespace=self._namespace)
        with suppress(Absent):
            await self._cluster.change(DEPLOYMENT, pair.namespace, pair.canary, lambda found: scaled(found, 0))
            await self._settle(pair, pair.canary)

    async def stable_revision(self, target: Target) -> Revision | None:
        """Return what stable runs; None when it has no replicas. See Inspection."""
        pair = pair_of(target, namespace=self._namespace)
        found = await self._cluster.get(DEPLOYMENT, pair.namespace, pair.stable)
        if found["spec"].get("replicas", 1) == 0:
            return None
        return revision_of(pair, container_of(found, pair).get("image", ""))

    async def ready(self, target: Target, track: Track) -> int:
        """Return how many pods of a track are ready: a Deployment that is gone has none. See Readiness."""
        pair = pair_of(target, namespace=self._namespace)
        name = pair.canary if track is Track.CANARY else pair.stable
        with suppress(Absent):
            found = await self._cluster.get(DEPLOYMENT, pair.namespace, name)
            return int(found.get("status", {}).get("readyReplicas", 0))
        return 0

    async def check(self, target: Target, revision: Revision) -> None:
        """Raise Refused when names, containers or rights would not do. See Inspection."""
        pair = pair_of(target, namespace=self._namespace)
        image_of(pair, revision)
        for name in (pair.stable, pair.canary):
            await self._cluster.need(("get", "patch"), DEPLOYMENT, pair.namespace, name)
            try:
                found = await self._cluster.get(DEPLOYMENT, pair.namespace, name)
            except Refused as error:
                raise Refused(error.what, where=error.where, remedy=_absent(pair, name)) from error
            container_of(found, pair)

    async def _run(self, pair: Pair, name: str, image: str, replicas: int | None) -> None:
        await self._cluster.change(
            DEPLOYMENT, pair.namespace, name, lambda found: with_image(found, pair, image, replicas)
        )
        await self._settle(pair, name)

    async def _settle(self, pair: Pair, name: str) -> None:
        while True:
            if settled(await self._cluster.get(DEPLOYMENT, pair.namespace, name)):
                return
            await asyncio.sleep(LOOK_EVERY)


def _absent(pair: Pair, name: str) -> str:
    if name == pair.canary:
        return f"create Deployment {name}: {pair.stable} again, with labels of its own for the canary and replicas 0"
    return f"create Deployment {name} in namespace {pair.namespace}, or set option deployment"
