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
    read_served,
    read_weight,
    scaled,
    share,
    weights_command,
)
from guardian.core.model import Place, Weight
from guardian.errors import Refused
from guardian.ports import Target

WHERE = Target(place=Place(service="be", environment="production"), options={})
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
    """A rollback leaves the canary no request at all."""
    assert weights_command(ONE_EACH, Weight(0.0)) == ("set server be/canary weight 0; set server be/stable weight 256")
    assert weights_command(ONE_EACH, Weight(1.0)) == ("set server be/canary weight 256; set server be/stable weight 0")


def test_answers_are_read_and_errors_in_them_seen() -> None:
    """HAProxy says errors in plain text where a weight should stand."""
    assert read_weight("25 (initial 0)", "be/canary", "haproxy") == 25
    with pytest.raises(Refused, match=r"server be/x: No such server\."):
        read_weight("No such server.", "be/x", "haproxy")
    with pytest.raises(Refused, match="no answer"):
        read_weight("", "be/x", "haproxy")


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


STAT = "# pxname,svname,stot\nbe,stable,1\nbe,canary,1\n"


async def test_a_proxy_that_refuses_is_quoted(tmp_path: Path) -> None:
    """`level admin` is missing, or the balance algorithm has fixed weights: its own words are the best text."""
    path = tmp_path / "sock"
    answers = {"set": "Permission denied\n", "get weight": "0 (initial 0)", "show stat": STAT}
    async with socket_that_says(path, answers):
        router = HaproxyRouter({"edge": HaproxyProcess(socket=path)})
        with pytest.raises(Refused, match=r"Permission denied; needs `level admin` and stable, canary"):
            await router.set_weight(WHERE, Weight(0.5))


async def test_a_proxy_that_serves_another_weight_is_read_as_it_is(tmp_path: Path) -> None:
    """It said yes and did otherwise: what is read back is what counts."""
    path = tmp_path / "sock"
    answers = {"get weight be/canary": "64 (initial 0)", "get weight be/stable": "192 (initial 1)", "show stat": STAT}
    async with socket_that_says(path, answers) as asked:
        router = HaproxyRouter({"edge": HaproxyProcess(socket=path)})
        await router.set_weight(WHERE, Weight(0.1))
        assert "set server be/canary weight 28; set server be/stable weight 252" in asked
        assert await router.accepted_weight(WHERE) == 0.25
