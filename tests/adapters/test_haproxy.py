"""HAProxy's weights and answers, without HAProxy: the arithmetic of shares, and the texts it answers with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from guardian.adapters.routers.haproxy import (
    HaproxyProcess,
    HaproxyRouter,
    Servers,
    changes,
    read_served,
    read_weights,
    scaled,
    share,
    weights_command,
)
from guardian.core.model import Place, Weight
from guardian.errors import Refused, Unavailable
from guardian.ports import Target

WHERE = Target(place=Place(service="be", environment="production"), options={})
STAT = "# pxname,svname,stot\nbe,stable,1\nbe,canary,1\n"
STATE = "1\n# be_id be_name srv_id srv_name srv_uweight\n3 be 1 stable {stable}\n3 be 2 canary {canary}\n"
ONE_EACH = Servers(backend="be", stable=("stable",), canary=("canary",))


@given(st.integers(1, 99), st.integers(1, 5), st.integers(1, 5))
def test_whole_percents_come_out_as_ordered(percent: int, stable: int, canary: int) -> None:
    """With any number of servers; within a tenth of the smaller side at the edges, else exact to 0.2 %."""
    weight = Weight(percent / 100)
    assume(1.1 * share(256 * stable, canary) < weight < 1 - 1.1 * share(256 * canary, stable))
    of_stable, of_canary = scaled(weight, stable=stable, canary=canary)
    given_share = share(of_stable * stable, of_canary * canary)
    assert 0 < of_stable <= 256
    assert 0 < of_canary <= 256
    assert abs(given_share - weight) <= max(0.002, 0.1 * min(weight, 1 - weight))


@given(st.integers(1, 99))
def test_whole_percents_are_exact_with_one_server_each(percent: int) -> None:
    """So that what is read back is what was ordered, to the last digit."""
    assert share(*scaled(Weight(percent / 100), stable=1, canary=1)) == pytest.approx(percent / 100, abs=1e-12)


@pytest.mark.parametrize("weight", [0.001, 0.9995])
def test_a_share_that_cannot_be_made_is_refused(weight: float) -> None:
    """Rounding 0.1 % to none or to 0.4 % would be another experiment."""
    with pytest.raises(Refused, match=r"cannot make a share .*; choose a weight between 0\.39% and 99\.61%"):
        scaled(Weight(weight), stable=1, canary=1)


def test_none_and_all_are_zero_on_the_other_side() -> None:
    """A rollback leaves the canary no request at all, and where stable has its weight, takes a single command."""
    assert changes(ONE_EACH, Weight(0.0), {"stable": 252, "canary": 28}) == (("canary", 0),)
    assert changes(ONE_EACH, Weight(0.0), {"stable": 0, "canary": 256}) == (("stable", 256), ("canary", 0))
    assert changes(ONE_EACH, Weight(1.0), {"stable": 252, "canary": 252}) == (("stable", 0),)
    assert weights_command(ONE_EACH, [("canary", 256), ("stable", 0)]) == (
        "set server be/canary weight 256; set server be/stable weight 0"
    )


def test_the_weights_of_a_usual_plan_are_one_command_a_step() -> None:
    """With one server each nothing can be seen between the weights: HAProxy carries a single command out at once."""
    now = {"stable": 252, "canary": 28}
    for weight, command in ((0.5, ("canary", 252)), (1.0, ("stable", 0))):
        assert changes(ONE_EACH, Weight(weight), now) == (command,)
        now |= dict([command])


@given(st.lists(st.integers(0, 20), min_size=2, max_size=8), st.integers(1, 4), st.integers(1, 3))
def test_on_the_way_the_canary_never_gets_more_than_before_or_after(twentieths: list[int], some: int, few: int) -> None:
    """HAProxy serves between two commands: no request too many for the canary, and always a server to send it to."""
    servers = Servers(
        backend="be", stable=tuple(f"stable{n}" for n in range(some)), canary=tuple(f"canary{n}" for n in range(few))
    )
    now = dict.fromkeys(servers.stable, 1) | dict.fromkeys(servers.canary, 0)
    for twentieth in twentieths:
        before = share_of(servers, now)
        seen = [share_of(servers, now := now | {name: number}) for name, number in given_in(servers, twentieth, now)]
        after = share_of(servers, now)
        assert after == pytest.approx(twentieth / 20, abs=0.002)
        assert max([0.0, *seen]) <= max(before, after) + 1e-12


@given(st.sets(st.sampled_from([1, 2, 4, 5, 10, 15, 20]), min_size=1), st.integers(1, 4))
def test_between_the_weights_of_a_plan_the_share_does_not_swing(twentieths: set[int], some: int) -> None:
    """Upwards and then back to 0: what is seen on the way lies between the weight before and the one after.

    To half a percent: weights are whole numbers.
    """
    servers = Servers(backend="be", stable=tuple(f"stable{n}" for n in range(some)), canary=("canary",))
    now = dict.fromkeys(servers.stable, 1) | {"canary": 0}
    for twentieth in [*sorted(twentieths), 0]:
        before = share_of(servers, now)
        seen = [share_of(servers, now := now | {name: number}) for name, number in given_in(servers, twentieth, now)]
        assert min([before, *seen]) >= min(before, share_of(servers, now)) - 0.005
        assert max([before, *seen]) <= max(before, share_of(servers, now))


def given_in(servers: Servers, twentieth: int, now: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """The commands for a weight in steps of 5 %."""
    return changes(servers, Weight(twentieth / 20), now)


def share_of(servers: Servers, weights: dict[str, int]) -> float:
    """The share that these weights make; ZeroDivisionError when there is nobody to serve."""
    return share(*(sum(weights[name] for name in track) for track in (servers.stable, servers.canary)))


def test_unequal_canaries_lose_weight_before_others_gain_it() -> None:
    """Somebody set them by hand, or a line of commands was cut off: making them equal must not overshoot."""
    servers = Servers(backend="b", stable=("s",), canary=("low", "high"))
    done = changes(servers, Weight(0.5), {"s": 256, "low": 0, "high": 256})
    assert done == (("high", 128), ("low", 128))


def test_answers_are_read_and_errors_in_them_seen() -> None:
    """By column name; HAProxy says errors in plain text where a table should stand."""
    text = STATE.format(canary=25, stable=75)
    assert read_weights(text, ONE_EACH, "haproxy") == {"stable": 75, "canary": 25}
    with pytest.raises(Refused, match=r"backend be: Can't find backend\."):
        read_weights("Can't find backend.", ONE_EACH, "haproxy")
    with pytest.raises(Refused, match="no server 'be/canary'"):
        read_weights(text.replace("canary", "kanarie"), ONE_EACH, "haproxy")
    with pytest.raises(Unavailable, match="an empty answer"):
        read_weights("", ONE_EACH, "haproxy")


def test_statistics_are_read_by_column_name() -> None:
    """Columns are added with every version of HAProxy."""
    text = "# pxname,svname,qcur,stot,new\nother,stable,0,9,\nbe,stable,0,30,x\nbe,canary,0,,x\nbe,BACKEND,0,33,x\n"
    assert read_served(text, ONE_EACH, "haproxy") == {"stable": 30, "canary": 0}
    with pytest.raises(Refused, match="no server 'be/canary'"):
        read_served("# pxname,svname,stot\nbe,stable,1\n", ONE_EACH, "haproxy")


@asynccontextmanager
async def socket_that_says(path: Path, answers: dict[str, str]) -> AsyncIterator[list[str]]:
    """A runtime socket that answers by the first word that fits; gives what it was asked."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode().strip()
        asked.append(line)
        writer.write(next((text for start, text in answers.items() if line.startswith(start)), "").encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield asked
    finally:
        server.close()


async def test_a_proxy_that_refuses_is_quoted(tmp_path: Path) -> None:
    """`level admin` is missing, or the balance algorithm has fixed weights: its own words are the best text."""
    path = tmp_path / "sock"
    answers = {"set": "Permission denied\n", "show servers": STATE.format(stable=1, canary=0), "show stat": STAT}
    async with socket_that_says(path, answers):
        router = HaproxyRouter({"edge": HaproxyProcess(socket=path)})
        with pytest.raises(Refused, match=r"Permission denied; needs `level admin` and stable, canary"):
            await router.set_weight(WHERE, Weight(0.5))


async def test_a_proxy_that_serves_another_weight_is_read_as_it_is(tmp_path: Path) -> None:
    """It said yes and did otherwise: what is read back is what counts."""
    path = tmp_path / "sock"
    answers = {"show servers": STATE.format(stable=192, canary=64), "show stat": STAT}
    async with socket_that_says(path, answers) as asked:
        router = HaproxyRouter({"edge": HaproxyProcess(socket=path)})
        await router.set_weight(WHERE, Weight(0.1))
        assert "set server be/stable weight 252; set server be/canary weight 28" in asked
        assert await router.accepted_weight(WHERE) == 0.25
