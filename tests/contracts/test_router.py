"""Every router keeps its promise: absolute, idempotent, read back; and says clearly when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from guardian.adapters._http import HttpClient
from guardian.adapters._kube import KubeClient
from guardian.adapters.routers.haproxy import HaproxyProcess, HaproxyRouter
from guardian.adapters.routers.istio import VIRTUAL_SERVICE, IstioRouter
from guardian.adapters.routers.memory import MemoryRouter
from guardian.core.model import Place, Seconds, Weight
from guardian.errors import Conflict, Refused, Unavailable
from guardian.ports import Router, Target
from simulator.testing.haproxy import HaProxy
from simulator.testing.kubelab.objects import KubernetesLab
from simulator.testing.plugin import MakeHaProxy, MakeLab, MakePod

CHECKOUT = Place(service="checkout", environment="production")
WEIGHTS = (0.0, 0.1, 0.5, 0.1, 1.0, 0.0, 0.25, 0.005)
ISTIO = "/apis/networking.istio.io/v1/namespaces/{}/virtualservices"


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


def virtual_service(name: str = "checkout", **more: Any) -> dict[str, Any]:
    """All traffic to stable, the canary beside it."""
    route = [
        {"destination": {"host": "checkout", "subset": "stable"}, "weight": 100},
        {"destination": {"host": "checkout", "subset": "canary"}, "weight": 0},
    ]
    spec = {"hosts": ["checkout"], "http": [{"name": "main", "route": route, "timeout": "3s"} | more]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": spec,
    }


async def keeps_its_promise(router: Router, where: Target) -> None:
    """The promise of the port, whatever the vendor."""
    for weight in WEIGHTS:
        await router.set_weight(where, Weight(weight))
        assert await router.accepted_weight(where) == pytest.approx(weight, abs=0.0005)
        await router.set_weight(where, Weight(weight))
        assert await router.accepted_weight(where) == pytest.approx(weight, abs=0.0005)


async def test_memory_keeps_the_promise() -> None:
    """The one to try policies with."""
    router = MemoryRouter()
    await keeps_its_promise(router, target())
    assert await router.observed_share(target()) is None
    router.serve(CHECKOUT, stable=90, canary=10)
    share = await router.observed_share(target())
    assert share is not None
    assert (share.share, share.requests) == (0.1, 100)


def proxied(haproxy: MakeHaProxy, http_app: MakePod) -> tuple[HaProxy, HaproxyRouter]:
    """A real proxy before two real services, and the router for it."""
    proxy = haproxy({"stable": http_app(track="stable").address, "canary": http_app(track="canary").address})
    return proxy, HaproxyRouter({"edge": HaproxyProcess(socket=proxy.socket)})


async def ask_often(url: str, times: int) -> None:
    """Send requests, one after the other."""
    client = HttpClient(timeout=5.0)
    try:
        for _ in range(times):
            await client.ask("GET", url)
    finally:
        await client.close()


@pytest.mark.service
async def test_haproxy_keeps_the_promise(haproxy: MakeHaProxy, http_app: MakePod) -> None:
    """Weights of a real proxy, set and read back through its runtime API."""
    _, router = await asyncio.to_thread(proxied, haproxy, http_app)
    await keeps_its_promise(router, target(backend="be"))


@pytest.mark.service
async def test_haproxy_serves_the_share_it_was_given_and_tells(haproxy: MakeHaProxy, http_app: MakePod) -> None:
    """Counted since the weight changed; setting the same weight again does not begin anew."""
    proxy, router = await asyncio.to_thread(proxied, haproxy, http_app)
    where = target(backend="be")
    await ask_often(proxy.url, 50)
    await router.set_weight(where, Weight(0.25))
    assert await router.observed_share(where) is None
    await ask_often(proxy.url, 100)
    await router.set_weight(where, Weight(0.25))
    await ask_often(proxy.url, 100)
    share = await router.observed_share(where)
    assert share is not None
    assert share.requests == 200
    assert share.share == pytest.approx(0.25, abs=0.01)
    await router.set_weight(where, Weight(0.0))
    await ask_often(proxy.url, 40)
    share = await router.observed_share(where)
    assert share is not None
    assert (share.share, share.requests) == (0.0, 40)


@pytest.mark.service
async def test_a_restarted_haproxy_shows_the_drift(haproxy: MakeHaProxy, http_app: MakePod) -> None:
    """A reload forgets run-time weights and counters: read back, never remembered."""
    proxy, router = await asyncio.to_thread(proxied, haproxy, http_app)
    where = target(backend="be")
    await router.set_weight(where, Weight(0.5))
    await ask_often(proxy.url, 30)
    await asyncio.to_thread(proxy.restart)
    assert await router.accepted_weight(where) == 0.0
    await ask_often(proxy.url, 20)
    share = await router.observed_share(where)
    assert share is not None
    assert (share.share, share.requests) == (0.0, 20)


@pytest.mark.service
async def test_haproxy_weights_that_are_all_0_are_refused_but_can_be_set(
    haproxy: MakeHaProxy, http_app: MakePod
) -> None:
    """Nothing is served then; the way out must stay open."""
    proxy, router = await asyncio.to_thread(proxied, haproxy, http_app)
    where = target(backend="be")
    await asyncio.to_thread(proxy.set_weights, {"stable": 0, "canary": 0})
    with pytest.raises(Refused, match="all weights of backend be are 0"):
        await router.accepted_weight(where)
    await router.set_weight(where, Weight(0.0))
    assert await router.accepted_weight(where) == 0.0


@pytest.mark.service
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "nowhere"}, "nowhere"),
        ({"backend": "be", "canary": "kanarie"}, "be/kanarie"),
        ({"backend": "be", "canary": "stable"}, "stable and canary"),
        ({"backend": "be", "process": "other"}, "no HAProxy process 'other'"),
        ({"backend": "be", "bakend": "be"}, "no option 'bakend'"),
    ],
)
async def test_haproxy_says_what_is_wrong_with_names(
    haproxy: MakeHaProxy, http_app: MakePod, options: dict[str, object], said: str
) -> None:
    """HAProxy answers errors as text with success: the text is read."""
    _, router = await asyncio.to_thread(proxied, haproxy, http_app)
    with pytest.raises(Refused) as refused:
        await router.accepted_weight(target(**options))
    assert said in str(refused.value)
    assert refused.value.remedy


@pytest.mark.service
async def test_a_frozen_or_absent_haproxy_is_unavailable(haproxy: MakeHaProxy, http_app: MakePod) -> None:
    """Within the deadline, so that the core can go on."""
    proxy, _ = await asyncio.to_thread(proxied, haproxy, http_app)
    router = HaproxyRouter({"edge": HaproxyProcess(socket=proxy.socket, timeout=Seconds(0.3))})
    where = target(backend="be")
    proxy.server.pause()
    with pytest.raises(Unavailable, match=r"no answer within 0\.3 s; check that HAProxy is not frozen"):
        await router.set_weight(where, Weight(0.1))
    proxy.server.resume()
    await router.set_weight(where, Weight(0.1))
    await asyncio.to_thread(proxy.server.stop)
    with pytest.raises(Unavailable, match="no connection"):
        await router.set_weight(where, Weight(0.1))


@pytest.mark.service
async def test_istio_keeps_the_promise_on_a_real_api_server(kubernetes: KubernetesLab) -> None:
    """Whole percents and finer weights; nothing else of the object changes."""
    namespace = await asyncio.to_thread(kubernetes.namespace)
    made = kubernetes.api.post(ISTIO.format(namespace), virtual_service())
    async with connected(kubernetes.kubeconfig) as cluster:
        router = IstioRouter(cluster, namespace=namespace)
        await keeps_its_promise(router, target())
        assert await router.observed_share(target()) is None
    found = kubernetes.api.get(f"{ISTIO.format(namespace)}/checkout")
    assert found["spec"]["http"][0]["timeout"] == made["spec"]["http"][0]["timeout"]
    assert "slo-guardian" in {one["manager"] for one in found["metadata"]["managedFields"]}


@pytest.mark.service
async def test_istio_writes_nothing_when_the_weight_is_there(kubernetes: KubernetesLab) -> None:
    """A repeat after a crash leaves no trace: the object keeps its version."""
    namespace = await asyncio.to_thread(kubernetes.namespace)
    kubernetes.api.post(ISTIO.format(namespace), virtual_service())
    path = f"{ISTIO.format(namespace)}/checkout"
    async with connected(kubernetes.kubeconfig) as cluster:
        router = IstioRouter(cluster, namespace=namespace)
        await router.set_weight(target(), Weight(0.1))
        version = kubernetes.api.get(path)["metadata"]["resourceVersion"]
        await router.set_weight(target(), Weight(0.1))
        assert kubernetes.api.get(path)["metadata"]["resourceVersion"] == version


@pytest.mark.service
async def test_istio_survives_one_conflict_and_gives_up_at_the_second(kubernetes: KubernetesLab) -> None:
    """Read again at once, once; a fight with another writer is for people to hear of."""
    namespace = await asyncio.to_thread(kubernetes.namespace)
    kubernetes.api.post(ISTIO.format(namespace), virtual_service())
    path = f"{ISTIO.format(namespace)}/checkout"
    async with connected(kubernetes.kubeconfig) as cluster:
        disturbed = 0

        def meddle(most: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
            def change(found: dict[str, Any]) -> dict[str, Any]:
                nonlocal disturbed
                if disturbed < most:
                    disturbed += 1
                    kubernetes.api.patch(path, {"metadata": {"labels": {"writer": f"{most}-{disturbed}"}}})
                return {"metadata": {"labels": {"weight": "set"}}}

            return change

        changed = await cluster.change(VIRTUAL_SERVICE, namespace, "checkout", meddle(1))
        assert changed["metadata"]["labels"] == {"writer": "1-1", "weight": "set"}
        disturbed = 0
        with pytest.raises(Conflict, match="somebody else writes there"):
            await cluster.change(VIRTUAL_SERVICE, namespace, "checkout", meddle(2))


RULES = [
    {
        "apiGroups": ["networking.istio.io"],
        "resources": ["virtualservices"],
        "resourceNames": ["checkout"],
        "verbs": ["get", "patch"],
    }
]


@pytest.mark.service
async def test_istio_needs_get_and_patch_of_one_object_and_no_more(kubernetes: KubernetesLab) -> None:
    """The Role in the handbook is enough; without patch the check says which rule is missing."""
    namespace = await asyncio.to_thread(kubernetes.namespace)
    for name in ("checkout", "other"):
        kubernetes.api.post(ISTIO.format(namespace), virtual_service(name))
    may = await asyncio.to_thread(kubernetes.service_account, namespace, RULES)
    async with connected(may) as cluster:
        router = IstioRouter(cluster, namespace=namespace)
        await router.check(target())
        await router.set_weight(target(), Weight(0.1))
        assert await router.accepted_weight(target()) == pytest.approx(0.1)
        with pytest.raises(Refused, match="403"):
            await router.set_weight(target(virtual_service="other"), Weight(0.1))
    rules = [RULES[0] | {"verbs": ["get"]}]
    reader = await asyncio.to_thread(lambda: kubernetes.service_account(namespace, rules, name="reader"))
    async with connected(reader) as cluster:
        with pytest.raises(Refused, match=r"may not patch .*; add to its Role .*verbs: \[patch\]"):
            await IstioRouter(cluster, namespace=namespace).check(target())


@pytest.mark.service
async def test_istio_says_what_is_wrong_with_the_object(kubernetes: KubernetesLab) -> None:
    """Absent, without the canary, or with a third destination: refused with the remedy, nothing written."""
    namespace = await asyncio.to_thread(kubernetes.namespace)
    third = virtual_service("third")
    third["spec"]["http"][0]["route"].append({"destination": {"host": "checkout", "subset": "blue"}, "weight": 0})
    single = virtual_service("single")
    single["spec"]["http"][0]["route"].pop()
    for body in (third, single):
        kubernetes.api.post(ISTIO.format(namespace), body)
    async with connected(kubernetes.kubeconfig) as cluster:
        router = IstioRouter(cluster, namespace=namespace)
        for name, said in (
            ("absent", "404 .*create it, or mend its name"),
            ("third", "leads to a third destination"),
            ("single", "no route of VirtualService single leads to subset 'stable' and subset 'canary'"),
        ):
            with pytest.raises(Refused, match=said):
                await router.set_weight(target(virtual_service=name), Weight(0.1))


@pytest.mark.service
async def test_a_refusing_api_server_is_quoted(kubernetes: KubernetesLab) -> None:
    """An admission policy says no: the operator reads its own words."""
    namespace = await asyncio.to_thread(kubernetes.namespace)
    kubernetes.api.post(ISTIO.format(namespace), virtual_service())
    refusing = kubernetes.refusing(namespace, "networking.istio.io", "virtualservices", message="change freeze")
    await asyncio.to_thread(refusing.__enter__)
    try:
        async with connected(kubernetes.kubeconfig) as cluster:
            with pytest.raises(Refused, match="change freeze"):
                await IstioRouter(cluster, namespace=namespace).set_weight(target(), Weight(0.1))
    finally:
        await asyncio.to_thread(refusing.__exit__, None, None, None)


@pytest.mark.service
async def test_an_api_server_that_hangs_or_died_is_unavailable(kubernetes_own: MakeLab) -> None:
    """Given up within the deadline, and good again when it is back."""
    own = await asyncio.to_thread(kubernetes_own)
    namespace = await asyncio.to_thread(own.lab.namespace)
    own.lab.api.post(ISTIO.format(namespace), virtual_service())
    async with connected(own.lab.kubeconfig) as cluster:
        cluster._deadline = Seconds(1.0)
        router = IstioRouter(cluster, namespace=namespace)
        own.apiserver.pause()
        with pytest.raises(Unavailable, match="no answer from the API server"):
            await router.accepted_weight(target())
        own.apiserver.resume()
        assert await router.accepted_weight(target()) == 0.0
        own.apiserver.kill()
        with pytest.raises(Unavailable, match="no answer from the API server"):
            await router.accepted_weight(target())
        await asyncio.to_thread(own.start_apiserver)
        await router.set_weight(target(), Weight(0.1))
        assert await router.accepted_weight(target()) == pytest.approx(0.1)
