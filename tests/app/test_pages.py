"""People are called, and let go again: PagerDuty over a whole rollout, limits, mail, crashes, receivers in trouble."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from guardian.adapters.journal.memory import MemoryJournal
from guardian.app.notices import TALLY, Notices
from guardian.app.tally import Tally
from guardian.config.settings import Settings
from guardian.core.facts import Order, Ordered
from guardian.core.measures import MeasureRequest
from guardian.core.model import EventRef, Phase, Seconds
from guardian.errors import Unavailable
from guardian.ports import MetricSource, Samples
from guardian.runtime.daemon import Daemon
from tests.adapters.http_server import Asked, Reply, Web, answering
from tests.adapters.mail_server import receiving
from tests.builders import policy, steps
from tests.runtime.stage import ERRORS, Stage, only, phase, quick, until

EVENTS = ["started", "paged", "rolled-back"]


class Gappy:
    """Metrics that are gone while `silent`."""

    def __init__(self, source: MetricSource) -> None:
        self.silent, self._source = False, source

    async def measure(self, requests: Sequence[MeasureRequest]) -> Samples:
        if self.silent:
            raise Unavailable("no answer", where="metrics", remedy="wait")
        return await self._source.measure(requests)


def waiting() -> Stage:
    """A stage whose rollouts stay at their first step, and page when metrics are gone for half a minute."""
    strategy = policy(*steps((0.1, 1e6))).strategy
    guardrails = (replace(ERRORS, page_after=Seconds(30.0)),)
    return Stage(journal=MemoryJournal(), policies=(replace(quick(), strategy=strategy, guardrails=guardrails),))


def settings(folder: Path, **notify: dict[str, Any]) -> Settings:
    """Settings with these notifiers; secrets are in files of their names."""
    return Settings.model_validate({"console": "https://guardian.example/", "notify": notify}, context={"base": folder})


@asynccontextmanager
async def running(stage: Stage, found: Settings) -> AsyncIterator[Daemon]:
    """Run a daemon with the notifiers of these settings, and cut both off."""
    notices = Notices(found, clock=stage.clock)
    stage.outlets = notices.outlets
    await notices.begin(stage.journal)
    telling = asyncio.create_task(notices.run())
    try:
        async with stage.running() as daemon:
            yield daemon
    finally:
        telling.cancel()
        await asyncio.wait([telling])
        await notices.close()


async def roll_back(daemon: Daemon) -> None:
    """Have a person roll the newest rollout back."""
    newest = list(daemon.engine.world.rollouts.values())[-1]
    event = EventRef(source="test", id=newest.id)
    await daemon.inbox.put([Ordered(event=event, rollout=newest.id, order=Order.ROLLBACK, reason="slow", who="ann")])
    await until(lambda: phase(daemon, newest.id) is Phase.ROLLED_BACK)


async def deployed(stage: Stage, daemon: Daemon, revision: str = "2.1.0") -> None:
    """Deploy a revision and wait for its first step."""
    stage.deploy(revision)
    await until(lambda: phase(daemon) is Phase.PROGRESSING and only_newest(daemon) == revision)


def only_newest(daemon: Daemon) -> str:
    """The revision of the newest rollout."""
    return str(list(daemon.engine.world.rollouts.values())[-1].revision)


def pagerduty(web: Web) -> list[tuple[str, str]]:
    """What PagerDuty was asked: action, and the key without the rollout."""
    said = [json.loads(asked.body) for asked in web.asked]
    return [(event["event_action"], event["dedup_key"].partition("/")[2]) for event in said]


def pager(web: Web, **more: Any) -> dict[str, Any]:
    """An entry that calls by PagerDuty."""
    return {"pagerduty": {"routing_key": {"file": "key"}, "url": web.url}, **more}


async def paged(stage: Stage, daemon: Daemon, gappy: Gappy) -> None:
    """Take the metrics away until a person is called."""
    await until(lambda: only(daemon).step_began is not None)
    gappy.silent = True
    await until(lambda: only(daemon).paged)


async def test_a_page_is_resolved_when_the_rollout_goes_on(tmp_path: Path) -> None:
    """Nobody has to close by hand what ended by itself."""
    stage = waiting()
    gappy = Gappy(stage.service.metrics)
    stage.sources = lambda _: gappy
    async with answering(lambda _: Reply(status=202)) as web:
        (tmp_path / "key").write_text("R0UTE")
        async with running(stage, settings(tmp_path, oncall=pager(web))) as daemon:
            await deployed(stage, daemon)
            await paged(stage, daemon, gappy)
            await until(lambda: web.asked)
            rollout = only(daemon)
            gappy.silent = False
            await until(lambda: len(web.asked) == 2)
            assert only(daemon).held is None
    assert pagerduty(web) == [("trigger", rollout.paged[0]), ("resolve", rollout.paged[0])]
    opened = json.loads(web.asked[0].body)
    assert opened["dedup_key"] == f"{rollout.id}/{rollout.paged[0]}"
    assert opened["payload"]["severity"] == "critical"
    assert opened["client_url"] == f"https://guardian.example/v1/rollouts/{rollout.id}/explanation"


async def test_the_end_of_a_rollout_is_the_end_of_its_pages_even_after_a_crash(tmp_path: Path) -> None:
    """Which incidents are open is in the journal; the rollback is an incident of its own, for a person to close."""
    stage = waiting()
    gappy = Gappy(stage.service.metrics)
    stage.sources = lambda _: gappy
    async with answering(lambda _: Reply(status=202)) as web:
        (tmp_path / "key").write_text("R0UTE")
        oncall = settings(tmp_path, oncall=pager(web))
        async with running(stage, oncall) as daemon:
            await deployed(stage, daemon)
            await paged(stage, daemon, gappy)
            await until(lambda: web.asked)
            (key,) = only(daemon).paged
        async with running(stage, oncall) as daemon:
            await roll_back(daemon)
            await until(lambda: ("trigger", "rolled-back") in pagerduty(web))
    assert list(dict.fromkeys(pagerduty(web))) == [("trigger", key), ("resolve", key), ("trigger", "rolled-back")]


async def test_more_than_the_limit_is_summed_up_and_pages_are_never_withheld_from_pagerduty(tmp_path: Path) -> None:
    """A flood tires people out; a page is why they have PagerDuty."""
    stage = waiting()
    gappy = Gappy(stage.service.metrics)
    stage.sources = lambda _: gappy
    one = {"at_most": "1 in 5m", "events": EVENTS}
    async with answering(lambda _: Reply(status=202)) as web:
        (tmp_path / "key").write_text("R0UTE")
        (tmp_path / "hook").write_text(f"{web.url}/hook")
        team = {"webhook": {"file": "hook"}, **one}
        async with running(stage, settings(tmp_path, oncall=pager(web, **one), team=team)) as daemon:
            await deployed(stage, daemon)
            await paged(stage, daemon, gappy)
            await roll_back(daemon)
            await until(lambda: len(web.asked) == 6)  # 5 virtual minutes: 3 s
    hook = [json.loads(asked.body)["summary"] for asked in web.asked if asked.path == "/hook"]
    assert hook == ["started: checkout 2.1.0 in production", "2 notices were withheld from team"]
    asked = [json.loads(asked.body) for asked in web.asked if asked.path != "/hook"]
    told = [event["payload"]["summary"].partition(":")[0] for event in asked if event["event_action"] == "trigger"]
    assert told == ["started", "paged", "1 notice was withheld from oncall"]


async def test_what_was_withheld_is_told_after_a_restart(tmp_path: Path) -> None:
    """A crash must not make a flood look like silence."""
    stage = waiting()
    async with answering(lambda _: Reply()) as web:
        (tmp_path / "hook").write_text(f"{web.url}/hook")
        found = settings(tmp_path, team={"webhook": {"file": "hook"}, "at_most": "1 in 10m", "events": EVENTS})
        async with running(stage, found) as daemon:
            await deployed(stage, daemon)
            await roll_back(daemon)
            await until(lambda: withheld(stage, "team") == 1)
        async with running(stage, found):
            await until(lambda: withheld(stage, "team") == 0)
    assert json.loads(web.asked[-1].body)["summary"] == "1 notice was withheld from team"
    assert json.loads(web.asked[-1].body)["dedup"].startswith("withheld/team/")


def withheld(stage: Stage, name: str) -> int:
    """How many notices the journal knows to be withheld from a notifier."""
    note = stage.journal.notes(TALLY).get(TALLY + name)
    return msgspec.json.decode(note, type=Tally).withheld if note is not None else 0


async def test_patience_that_is_asked_for_is_given_and_the_notice_comes_once(tmp_path: Path) -> None:
    """429 with Retry-After: one second here, where the first retry would come after half of one."""
    times: list[float] = []

    def answer(asked: Asked) -> Reply:
        times.append(asyncio.get_running_loop().time())
        return Reply(status=429, headers={"Retry-After": "1"}) if len(times) == 1 else Reply()

    stage = waiting()
    async with answering(answer) as web:
        (tmp_path / "slack").write_text(f"{web.url}/slack")
        team = {"slack": {"file": "slack"}, "events": ["started"]}
        async with running(stage, settings(tmp_path, team=team)) as daemon:
            await deployed(stage, daemon)
            await until(lambda: len(times) == 2)
            await asyncio.sleep(0.7)
    assert len(times) == 2
    assert times[1] - times[0] >= 1.0
    assert "before" not in web.asked[1].body.decode()


@pytest.mark.parametrize("way", ["slack", "pagerduty", "email"])
async def test_a_receiver_that_hangs_delays_neither_the_rollback_nor_the_others(way: str, tmp_path: Path) -> None:
    """It is told on /readyz, and when it answers again it hears everything once, each repeat marked as such."""
    stage = waiting()
    hangs = {"does": True}

    def answer(asked: Asked) -> Reply:
        return Reply(status=202, pause=20.0 if hangs["does"] and asked.path != "/well" else 0.0)

    async with answering(answer) as web, receiving() as box:
        box.answers = [None] * 2
        (tmp_path / "well").write_text(f"{web.url}/well")
        (tmp_path / "slack").write_text(f"{web.url}/slack")
        (tmp_path / "key").write_text("R0UTE")
        mail = {"server": f"127.0.0.1:{box.port}", "security": "none", "from": "g@example.org", "to": ["a@example.org"]}
        ways = {
            "slack": {"slack": {"file": "slack"}},
            "pagerduty": pager(web),
            "email": {"email": mail},
        }
        events: dict[str, Any] = {"events": ["started", "rolled-back"], "timeout": "1s"}
        found = settings(tmp_path, stuck=ways[way] | events, well={"webhook": {"file": "well"}, **events})
        async with running(stage, found) as daemon:
            await deployed(stage, daemon)
            await roll_back(daemon)
            await until(lambda: [asked.path for asked in web.asked].count("/well") == 2, within=3.0)
            await until(lambda: any(one.part == "sink notify-stuck" for one in daemon.health.problems))
            assert "R0UTE" not in str(daemon.health.problems)
            hangs["does"] = False
            await until(lambda: way != "email" or len(box.mails) == 2)
            await until(lambda: not any(one.part == "sink notify-stuck" for one in daemon.health.problems))
    if way == "email":
        assert [str(mail["subject"]).partition(":")[0] for mail in box.mails] == ["started", "rolled-back"]
        assert ["sent before" in mail.get_content() for mail in box.mails] == [True, False]


async def test_a_notice_that_is_sent_again_after_a_crash_has_its_key_and_says_so(tmp_path: Path) -> None:
    """The crash came after the mail was taken and before the journal knew."""
    stage = waiting()
    async with receiving() as box:
        mail = {"server": f"127.0.0.1:{box.port}", "security": "none", "from": "g@example.org", "to": ["a@example.org"]}
        found = settings(tmp_path, mail={"email": mail, "events": ["started"]})
        async with running(stage, found) as daemon:
            before = stage.journal.notes("cursor/")
            await deployed(stage, daemon)
            await until(lambda: box.mails)
        stage.journal.append((), notes=before)
        async with running(stage, found):
            await until(lambda: len(box.mails) == 2)
    first, again = box.mails
    assert first["message-id"] == again["message-id"]
    assert ("sent before" in first.get_content(), "sent before" in again.get_content()) == (False, True)
