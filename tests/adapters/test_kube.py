"""What the Kubernetes adapters make of an API server's answers; a small real HTTP server stands in for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from kubernetes.client import Configuration

from guardian.adapters._kube import DEPLOYMENT, MANAGER, KubeClient
from guardian.adapters.workloads.deployment import DeploymentWorkload, Pair, image_of, pair_of, revision_of, settled
from guardian.core.model import Place, Revision, Seconds
from guardian.errors import Absent, AdapterError, Conflict, Refused, Unavailable
from guardian.ports import Target
from tests.adapters.http_server import Asked, Reply, Web, answering

OBJECT = {"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7"}, "spec": {"replicas": 2}}


def said(status: int, message: str) -> Reply:
    """A refusal as the API server words it."""
    return Reply(status=status, body=json.dumps({"kind": "Status", "message": message, "code": status}).encode())


@asynccontextmanager
async def cluster(answer: Callable[[Asked], Reply]) -> AsyncIterator[tuple[KubeClient, Web]]:
    """A client and the server behind it."""
    async with answering(answer) as web:
        client = KubeClient(Configuration(host=web.url), where="kubeconfig test", deadline=Seconds(0.5))
        try:
            yield client, web
        finally:
            await client.close()


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (said(409, "the object has been modified"), Conflict, "409 the object has been modified; somebody else"),
        (said(401, "Unauthorized"), Refused, "401 Unauthorized; renew the credentials"),
        (said(403, "cannot get"), Refused, "403 cannot get; give the guardian's Role this right"),
        (said(404, "not found"), Absent, "404 not found; create it, or mend its name"),
        (said(422, "Invalid value"), Refused, "422 Invalid value; the API server does not accept"),
        (said(429, "slow down"), Unavailable, "429 slow down; it will be repeated"),
        (said(500, "etcdserver: timed out"), Unavailable, "500 etcdserver: timed out"),
        (Reply(status=503, body=b"<html>"), Unavailable, "503 Said"),
        (Reply(pause=5.0), Unavailable, "no answer from the API server"),
        (Reply(body=b'"text"'), Unavailable, "the answer is no object"),
    ],
)
async def test_each_answer_says_whether_to_try_again_and_what_to_do(
    reply: Reply, kind: type[AdapterError], text: str
) -> None:
    """One try, in the API server's own words, with the object it is about."""
    async with cluster(lambda _: reply) as (client, web):
        with pytest.raises(kind) as raised:
            await client.get(DEPLOYMENT, "shop", "web")
    assert type(raised.value) is kind
    assert text in str(raised.value)
    assert "deployments.apps shop/web" in str(raised.value)
    assert len(web.asked) == 1, "retries are the core's"


async def test_a_write_carries_the_version_that_was_read_and_our_name() -> None:
    """So that nobody's change is lost, and everybody sees whose it was."""
    async with cluster(lambda _: Reply(body=json.dumps(OBJECT).encode())) as (client, web):
        await client.change(
            DEPLOYMENT, "shop", "web", lambda found: {"spec": {"replicas": found["spec"]["replicas"] + 1}}
        )
    patch = web.asked[-1]
    assert patch.method == "PATCH"
    assert f"fieldManager={MANAGER}" in patch.path
    assert patch.headers["content-type"] == "application/strategic-merge-patch+json"
    assert json.loads(patch.body) == {"spec": {"replicas": 3}, "metadata": {"resourceVersion": "7"}}


async def test_what_is_as_it_should_be_is_not_written() -> None:
    """A repeat after a crash leaves no trace."""
    async with cluster(lambda _: Reply(body=json.dumps(OBJECT).encode())) as (client, web):
        await client.change(DEPLOYMENT, "shop", "web", lambda _: None)
    assert [asked.method for asked in web.asked] == ["GET"]


async def test_a_canary_whose_deployment_is_gone_is_stopped() -> None:
    """Somebody deleted it by hand: there is nothing left to stop. Any other refusal is one."""
    options: dict[str, object] = {"deployment": "web", "image": "registry/web:{revision}"}
    target = Target(place=Place(service="web", environment="production"), options=options)
    async with cluster(lambda _: said(404, "not found")) as (client, web):
        await DeploymentWorkload(client, namespace="shop").stop_canary(target)
    assert len(web.asked) == 1
    async with cluster(lambda _: said(403, "cannot get")) as (client, _):
        with pytest.raises(Refused):
            await DeploymentWorkload(client, namespace="shop").stop_canary(target)


def pair(image: str) -> Pair:
    """What a policy names."""
    where = Target(place=Place(service="web", environment="production"), options={"image": image})
    return pair_of(where, namespace="shop")


@pytest.mark.parametrize(
    ("template", "image", "revision"),
    [
        ("registry/web:{revision}", "registry/web:2.1.0", "2.1.0"),
        ("registry:5000/web:v{revision}-alpine", "registry:5000/web:v2.1.0-alpine", "2.1.0"),
        ("registry/web@sha256:{revision}", "registry/web@sha256:ab12", "ab12"),
        ("registry/web:{revision}", "registry/web@sha256:ab12", "registry/web@sha256:ab12"),
    ],
)
def test_image_and_revision_lead_to_each_other(template: str, image: str, revision: str) -> None:
    """What ran before can be restored exactly."""
    names = pair(template)
    assert revision_of(names, image) == revision
    assert image_of(names, Revision(revision)) == image


def test_an_event_cannot_choose_where_an_image_comes_from() -> None:
    """An image of another repository is told as what runs, and never brought up."""
    names = pair("registry/web:{revision}")
    assert revision_of(names, "mirror/web:2.1.0") == "mirror/web:2.1.0"
    with pytest.raises(Refused, match="another repository"):
        image_of(names, Revision("mirror/web:2.1.0"))


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, True),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, False),
        ({"observedGeneration": 3, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}, False),
        ({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}, False),
        ({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}, False),
        ({}, False),
    ],
)
def test_ready_means_all_new_all_available_none_left_over(status: dict[str, int], *, ready: bool) -> None:
    """And that the controller has seen the newest template at all."""
    assert settled({"metadata": {"generation": 3}, "spec": {"replicas": 2}, "status": status}) is ready
