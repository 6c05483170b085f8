"""The load benchmarks' own arithmetic: claims, quantiles and the stated mix. What they measure is not tested here."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.load.intake import SHARES, due_times, mixed
from benchmarks.load.journal import watching
from benchmarks.load.report import Figure, Load, quantile, write
from benchmarks.load.webhooks import bodies
from benchmarks.rounds import Better
from guardian.wire import DECODERS
from tests.e2e import topic
from tests.e2e.waiting import until


def test_every_file_is_a_benchmark_that_can_be_named() -> None:
    """A new one is a file and nothing else."""
    assert {"intake", "patching", "reaction", "startup", "webhooks"} <= set(load.names())
    assert all(isinstance(load.load(name), Load) for name in load.names())


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    """Nobody has to look into the folder."""
    with pytest.raises(LookupError, match=r"no load benchmark 'intakes'; there are: .*intake"):
        load.load("intakes")


@pytest.mark.parametrize(("better", "held", "broken"), [(Better.LOWER, 0.9, 1.1), (Better.HIGHER, 1.1, 0.9)])
def test_a_claim_holds_on_its_better_side(better: Better, held: float, broken: float) -> None:
    """Lower is better for times, higher for rates."""
    assert Figure(name="one", value=held, unit="s", better=better, limit=1.0).ok
    assert not Figure(name="one", value=broken, unit="s", better=better, limit=1.0).ok


def test_a_claim_may_be_about_the_ratio() -> None:
    """CPU per request is claimed beside bare FastAPI, on whatever machine."""
    slow_machine = Figure(
        name="cpu", value=400.0, unit="us", limit=2.5, of_ratio=True, reference="bare", reference_value=200.0
    )
    assert slow_machine.ratio == 2.0
    assert slow_machine.ok


def test_a_quantile_is_a_value_that_was_measured() -> None:
    """The 95th of a hundred, not something in between."""
    values = [float(number) for number in range(1, 101)]
    assert (quantile(values, 0.95), quantile(values, 0.5), quantile([3.0], 0.99)) == (95.0, 50.0, 3.0)


def test_without_values_there_is_no_quantile() -> None:
    """A benchmark that measured nothing fails."""
    with pytest.raises(ValueError, match="no values were measured"):
        quantile([], 0.5)


def test_the_mix_is_the_one_that_is_stated() -> None:
    """Shares of 20,000 messages: within four standard deviations of what the result file says."""
    messages = mixed(20_000, seed=5)
    new = len({message for message in messages if message.startswith("{") and '"unknown"' not in message})
    unparsable = sum(not message.startswith("{") for message in messages)
    assert abs(new / 20_000 - SHARES["new"]) < 0.009
    assert abs(unparsable / 20_000 - SHARES["unparsable"]) < 0.002


def test_every_webhook_of_the_load_is_one_that_the_daemon_reads() -> None:
    """Refusals would be cheaper than alerts and make the figure look good."""
    assert all(len(DECODERS["alertmanager"](body).facts) == 1 for body in bodies(200, seed=3))


def test_a_result_is_a_file_of_json(tmp_path: Path) -> None:
    """Readable by whoever compares."""
    file = write({"name": "some", "ok": True}, folder=tmp_path)
    assert (file.name, json.loads(file.read_text())["ok"]) == ("load-some.json", True)


def test_the_watched_journal_shows_each_event_once_it_is_committed(tmp_path: Path) -> None:
    """Rows of a transaction that is still open are not durable, and are not seen."""
    file = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(file, isolation_level=None)) as journal:
        journal.execute("PRAGMA journal_mode = WAL")
        journal.execute("CREATE TABLE journal (seq INTEGER PRIMARY KEY, event TEXT)")
        with watching(file) as shown:
            journal.execute("BEGIN")
            journal.execute("INSERT INTO journal VALUES (1, 'first'), (2, NULL)")
            assert not shown
            began = time.time()
            journal.execute("COMMIT")
            until(lambda: shown, what="the row is seen", deadline=10.0)
    assert shown.keys() == {"first"}
    assert shown["first"] >= began


def test_an_event_is_due_when_it_was_to_be_sent_first() -> None:
    """Repeats of it do not count, and what cannot be read was no event."""
    sent = [topic.Message(key="", value=body, headers={}, partition=0, offset=number, at=float(number))
            for number, body in enumerate([b"{\"id\": \"7\"}", b"not an event", b"{\"id\": \"7\"}"])]  # fmt: skip
    assert due_times(sent) == {"7": 0.0}
