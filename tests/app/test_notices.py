"""Who guardian.yaml says is told of decisions: in which words, how often it is tried, and that it holds nothing up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

from msgspec.structs import replace
from structlog.testing import capture_logs

from guardian.adapters.journal.memory import MemoryJournal
from guardian.app.notices import Notices
from guardian.config.notify import DecisionName
from guardian.config.settings import Settings
from guardian.core.events import NAMES
from guardian.core.facts import Order, Ordered
from guardian.core.model import EventRef, Phase
from guardian.runtime.daemon import Daemon
from tests.adapters.http_server import Asked, Reply, Web, answering
from tests.builders import policy, steps
from tests.runtime.stage import Stage, only, phase, quick, until


def settings(folder: Path, **notify: Mapping[str, Any]) -> Settings:
    """Return settings with these notifiers; the webhook's address is in a file."""
    return Settings.model_validate(
        {
            "notify": {name: {"webhook": {"file": str(folder / name)}, **keys} for name, keys in notify.items()},
            "environments": {"production": {}, "staging": {}},
        }
    )


def slow() -> Stage:
    """Return a stage whose rollouts stay at their first step until somebody ends them."""
    return Stage(journal=MemoryJournal(), policies=(replace(quick(), strategy=policy(*steps((0.1, 1e6))).strategy),))


@asynccontextmanager
async def running(stage: Stage, found: Settings) -> AsyncIterator[Daemon]:
    """Run a daemon with the notifiers of these settings."""
    notices = Notices(found, clock=stage.clock)
    stage.outlets = notices.outlets
    await notices.begin(stage.journal)
    async with stage.running() as daemon:
        yield daemon
    await notices.close()


async def rolled_back(stage: Stage, daemon: Daemon, *, revision: str = "2.1.0") -> None:
    """Deploy a revision and have a person roll it back."""
    stage.deploy(revision)
    await until(lambda: phase(daemon) is Phase.PROGRESSING)
    newest = list(daemon.engine.world.rollouts.values())[-1]
    order = Ordered(
        event=EventRef(source="test", id=revision), rollout=newest.id, order=Order.ROLLBACK, reason="slow", who="ann"
    )
    await daemon.inbox.put([order])
    await until(lambda: phase(daemon) is Phase.ROLLED_BACK)


def summaries(web: Web) -> list[str]:
    """Return what was told."""
    return [json.loads(asked.body)["summary"] for asked in web.asked]


async def test_a_rollback_is_told_in_words_under_the_id_of_its_event(tmp_path: Path) -> None:
    """The id is the same at every repeat, so the receiver can tell one from a second rollback."""
    stage = slow()
    async with answering(lambda _: Reply()) as web:
        (tmp_path / "oncall").write_text(f"{web.url}/secret")
        async with running(stage, settings(tmp_path, oncall={"events": ["rolled-back"]})) as daemon:
            await rolled_back(stage, daemon)
            await until(lambda: web.asked)
            last = only(daemon)
    (asked,) = web.asked
    told = json.loads(asked.body)
    assert asked.path == "/secret"
    assert told["summary"] == "rolled-back: checkout 2.1.0 in production"
    assert told["dedup"] == asked.headers["idempotency-key"] == f"{last.id}/{last.sequence}"
    assert "slow" in told["body"]
    assert f"guardian explain {last.id}" in told["body"]


async def test_only_what_was_asked_for_is_told(tmp_path: Path) -> None:
    """By decision and by environment; the others hear nothing of it."""
    stage = slow()
    async with answering(lambda _: Reply()) as web:
        (tmp_path / "all").write_text(f"{web.url}/all")
        (tmp_path / "staging").write_text(f"{web.url}/staging")
        wanted = settings(tmp_path, all={"events": ["started", "rolled-back"]}, staging={"environments": ["staging"]})
        async with running(stage, wanted) as daemon:
            await rolled_back(stage, daemon)
            await until(lambda: len(web.asked) == 2)
    assert [asked.path for asked in web.asked] == ["/all", "/all"]
    assert [one.partition(":")[0] for one in summaries(web)] == ["started", "rolled-back"]


async def test_a_notifier_that_is_down_holds_nobody_and_is_tried_again(tmp_path: Path) -> None:
    """The rollback ends, the other notifier hears of it, and the broken one does when it is back; nothing twice."""
    broken = {"is": True}

    def answer(asked: Asked) -> Reply:
        return Reply(status=503 if broken["is"] and asked.path == "/down" else 200)

    stage = slow()
    async with answering(answer) as web:
        (tmp_path / "down").write_text(f"{web.url}/down")
        (tmp_path / "up").write_text(f"{web.url}/up")
        events = ["started", "rolled-back"]
        async with running(stage, settings(tmp_path, down={"events": events}, up={"events": events})) as daemon:
            await rolled_back(stage, daemon)
            await until(lambda: [asked.path for asked in web.asked].count("/up") == 2)
            assert any(one.part == "sink notify-down" for one in daemon.health.problems)
            broken["is"] = False
            until_now = len(web.asked)
            await until(lambda: len(web.asked) == until_now + 2)
            await until(lambda: not any(one.part == "sink notify-down" for one in daemon.health.problems))
    assert [one.partition(":")[0] for one in summaries(web)[until_now:]] == events


async def test_a_notifier_that_is_new_is_not_told_of_the_past(tmp_path: Path) -> None:
    """A journal of a year would wake people for every rollback in it; after that, nothing is missed."""
    stage = slow()
    async with stage.running() as daemon:
        await rolled_back(stage, daemon)
    async with answering(lambda _: Reply()) as web:
        (tmp_path / "oncall").write_text(web.url)
        oncall = settings(tmp_path, oncall={"events": ["rolled-back"]})
        async with running(stage, oncall) as daemon:
            await rolled_back(stage, daemon, revision="2.2.0")
            await until(lambda: web.asked)
        assert summaries(web) == ["rolled-back: checkout 2.2.0 in production"]
        async with running(stage, oncall) as daemon:
            await rolled_back(stage, daemon, revision="2.3.0")
            await until(lambda: "2.3.0" in "".join(summaries(web)))
    # a crash right after a notice has it sent again, under the same key
    told = [f"rolled-back: checkout {revision} in production" for revision in ("2.2.0", "2.3.0")]
    assert list(dict.fromkeys(summaries(web))) == told
    assert len({asked.headers["idempotency-key"] for asked in web.asked}) == 2


async def test_the_log_may_be_told_as_well() -> None:
    """Where lines go that others collect."""
    stage = slow()
    with capture_logs() as lines:
        async with running(stage, Settings.model_validate({"notify": {"lines": {"log": True}}})) as daemon:
            await rolled_back(stage, daemon)
            await until(lambda: any(line["event"] == "notice" for line in lines))
    (told, *_) = [line["summary"] for line in lines if line["event"] == "notice"]
    assert told == "rolled-back: checkout 2.1.0 in production"


def test_every_decision_event_can_be_asked_for() -> None:
    """The names in guardian.yaml are those of the contract."""
    assert set(get_args(DecisionName)) == set(NAMES.values()) | {phase.value for phase in Phase if phase.terminal}
