"""The proxy of the tests: weights are set and read back, and traffic follows them."""

from __future__ import annotations

import pytest

from simulator.testing.ask import ask
from simulator.testing.errors import ServiceError
from simulator.testing.haproxy import HaProxy
from simulator.testing.plugin import MakeHaProxy, MakePod


@pytest.fixture
def proxy(http_app: MakePod, haproxy: MakeHaProxy) -> HaProxy:
    """One proxy over a stable and a canary pod."""
    return haproxy({"stable": http_app().address, "canary": http_app(track="canary").address})


def test_all_traffic_goes_to_stable_at_first(proxy: HaProxy) -> None:
    """The state before a rollout."""
    assert proxy.weights() == {"stable": 100, "canary": 0}
    assert [ask(proxy.url).status for _ in range(20)] == [200] * 20
    assert proxy.served() == {"stable": 20, "canary": 0}


def test_a_weight_is_read_back_and_traffic_follows_it_exactly(proxy: HaProxy) -> None:
    """Accepted and observed are two readings; the turn may begin at either server."""
    proxy.set_weights({"stable": 75, "canary": 25})
    assert proxy.weights() == {"stable": 75, "canary": 25}
    for _ in range(100):
        ask(proxy.url)
    assert proxy.served() == pytest.approx({"stable": 75, "canary": 25}, abs=1)


def test_a_restart_forgets_the_weights(proxy: HaProxy) -> None:
    """The drift that a router must notice and undo."""
    proxy.set_weights({"stable": 50, "canary": 50})
    proxy.restart()
    assert proxy.weights() == {"stable": 100, "canary": 0}


def test_an_unknown_server_is_an_error_though_haproxy_answers_politely(proxy: HaProxy) -> None:
    """HAProxy says errors as text, with no sign of failure."""
    with pytest.raises(ServiceError, match="No such server"):
        proxy.set_weights({"blue": 10})


def test_a_dead_canary_is_found_by_the_health_check(http_app: MakePod, haproxy: MakeHaProxy) -> None:
    """The proxy protects users before the guardian does, and its statistics say so."""
    canary = http_app(track="canary")
    proxy = haproxy({"stable": http_app().address, "canary": canary.address}, weights={"canary": 50})
    canary.server.kill()
    proxy.wait_until("canary", "DOWN")
    assert [ask(proxy.url).status for _ in range(5)] == [200] * 5
    canary.start()
    proxy.wait_until("canary", "UP")
    assert proxy.weights() == {"stable": 100, "canary": 50}
