"""Files of samples with a column `stratum`: judged as a running rollout whose policy names the label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from guardian.adapters.samples.tables import Samples
from guardian.core.looks import Part, SeriesKey
from guardian.core.model import Ratio, Seconds, Track, Verdict
from guardian.core.policy import Guardrail, Margin, WarmUp
from guardian.core.pretend import worsened
from guardian.core.strata import STRATA
from guardian.errors import SamplesError
from tests.builders import ERRORS, LATENCY
from tests.core.levels import ORDERS, ZERO, R, Sample, by
from tests.core.test_live_levels import live
from tests.core.test_offline_levels import judged

HEAD = "rollout_id,t,dt,track,pod,metric,requests,bad,le,count,value,stratum"
BOUNDS = (0.05, 0.1, 0.25, float("inf"))
SHARES = {"zone=a": (0.2, 0.6, 0.18, 0.02), "zone=b": (0.05, 0.3, 0.5, 0.15)}
FAILS = {"zone=a": 0.002, "zone=b": 0.02}
MIXES = {"zone=a": (40.0, 1440.0), "zone=b": (160.0, 360.0)}
"""Requests of canary and stable in ten seconds: most of the canary's are where errors and latencies are worse."""
PODS = (2, 4)


def apart(guardrail: Guardrail, **changes: object) -> Guardrail:
    """A guardrail that compares within zones."""
    assert guardrail.compare is not None
    return replace(guardrail, compare=replace(guardrail.compare, strata=("zone",), **changes))


ZONED = apart(ERRORS)
SLOW = apart(LATENCY, promote=Margin(relative=1.5), tail_promote=Ratio(0.03))
WARM = replace(ZONED, warm_up=WarmUp(lasts=Seconds(120.0), factor=3.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Pods of two zones, or of both where `spread`, scraped every 10 s. worse: times as many errors of the canary."""

    spread: bool = False
    worse: float = 1.0
    orders: float = 1.0
    lasts: int = 60
    history: int = 180
    seed: int = 3

    def scrapes(self) -> Iterator[tuple[float, bool, str, str, list[float]]]:
        """(t, canary, pod, zone, requests and failures and buckets since the scrape before)."""
        random = np.random.default_rng(self.seed)
        for tick in range(-self.history, self.lasts + 1):
            for zone, mix in MIXES.items():
                for side in (0, 1):
                    for number in range(PODS[side]) if side or tick >= 0 else ():
                        asked = float(random.poisson(mix[side] / PODS[side]))
                        bad = random.binomial(int(asked), FAILS[zone] * (1.0 if side else self.worse))
                        buckets = random.multinomial(int(asked), SHARES[zone])
                        pod = f"p{side}{number}" if self.spread else f"{zone[-1]}{side}{number}"
                        yield 10.0 * tick, side == 0, pod, zone, [asked, float(bad), *map(float, np.cumsum(buckets))]

    def events(self) -> Iterator[tuple[float, bool, str, float]]:
        """(t, canary, pod, orders), about one of twenty requests."""
        random, asked = np.random.default_rng(self.seed + 1), dict[tuple[float, bool, str], float]()
        for t, canary, pod, _, (requests, *_rest) in self.scrapes():
            asked[t, canary, pod] = asked.get((t, canary, pod), 0.0) + requests
        for (t, canary, pod), requests in asked.items():
            yield t, canary, pod, float(random.poisson(0.05 * requests * (self.orders if canary else 1.0)))

    def samples(self) -> list[Sample]:
        """Raw counters as a running rollout meets them, in the order of time."""
        sums: dict[SeriesKey, float] = {}
        found: list[Sample] = []

        def show(t: float, new: float, canary: bool, pod: str, **names: object) -> None:  # noqa: FBT001
            track = Track.CANARY if canary else Track.STABLE
            key = SeriesKey(rollout=R, track=track, pod=pod, **names)  # type: ignore[arg-type]
            sums[key] = sums.get(key, 1000.0) + new
            found.append((key, ZERO + t, sums[key]))

        for t, canary, pod, zone, (asked, bad, *buckets) in self.scrapes():
            for part, new in ((Part.TOTAL, asked), (Part.BAD, bad)):
                show(t, new, canary, pod, guardrail="errors", part=part, stratum=zone)
            for le, new in zip(BOUNDS, buckets, strict=True):
                show(t, new, canary, pod, guardrail="latency", part=Part.BUCKET, stratum=zone, le=le)
        for t, canary, pod, new in self.events():
            show(t, new, canary, pod, guardrail="orders", part=Part.COUNT)
        return sorted(found, key=lambda sample: sample[1])

    def rows(self) -> list[str]:
        """The same as lines of a file."""
        lines: list[tuple[float, str]] = []
        sums: dict[tuple[str, str, float], float] = {}
        seen: set[object] = set()

        def start(t: float, canary: bool, *of: str) -> str:  # noqa: FBT001
            first = of not in seen
            seen.add(of)
            return f"r,{t:g},{0 if first else 10},{'canary' if canary else 'stable'},{of[0]}"

        for t, canary, pod, zone, (asked, bad, *buckets) in self.scrapes():
            lines.append((t, f"{start(t, canary, pod, zone)},errors,{asked:g},{bad:g},,,,{zone}"))
            for le, new in zip(BOUNDS, buckets, strict=True):
                sums[pod, zone, le] = sums.get((pod, zone, le), 1000.0) + new
                bucket = f"{le:g}".replace("inf", "+Inf")
                track = "canary" if canary else "stable"
                lines.append((t, f"r,{t:g},10,{track},{pod},latency,,,{bucket},{sums[pod, zone, le]:g},,{zone}"))
        for t, canary, pod, new in self.events():
            lines.append((t, f"{start(t, canary, pod)},orders,,,,,{new:g},"))
        return [line for _, line in sorted(lines, key=lambda line: line[0])]


def written(lines: list[str], path: Path) -> Path:
    """A file of these lines, as its name says."""
    text = path.with_suffix(".csv")
    text.write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    if path.suffix == ".parquet":
        pq.write_table(pacsv.read_csv(text), path)
    return path


STORIES = {
    "healthy": (Service(), Verdict.PROMOTE),
    "healthy, every pod in both": (Service(spread=True), Verdict.PROMOTE),
    "three times the errors": (Service(worse=3.0), Verdict.ROLLBACK),
    "three times the errors, every pod in both": (Service(worse=3.0, spread=True), Verdict.ROLLBACK),
}


@pytest.mark.parametrize("rules", [(ZONED,), (WARM,), (ZONED, SLOW)], ids=["errors", "warm-up", "both"])
@pytest.mark.parametrize("name", STORIES)
def test_a_running_rollout_and_a_file_with_strata_give_the_same_verdict(
    tmp_path: Path, name: str, rules: tuple[Guardrail, ...]
) -> None:
    """What, when and on which evidence."""
    service, wanted = STORIES[name]
    expected = judged(written(service.rows(), tmp_path / "samples.csv"), by(*rules))
    verdict, at, evidence = live(service.samples(), by(*rules))
    assert (verdict, at) == (expected.verdict, expected.decided_at)
    assert evidence == pytest.approx(expected.evidence, rel=1e-6)
    assert verdict is wanted


def test_events_are_judged_by_what_their_pod_is_asked_in_all_strata(tmp_path: Path) -> None:
    """A third of the orders missing; a running rollout says the same."""
    service = Service(spread=True, orders=0.3)
    expected = judged(written(service.rows(), tmp_path / "samples.csv"), by(ZONED, ORDERS))
    verdict, at, evidence = live(service.samples(), by(ZONED, ORDERS))
    assert (verdict, at) == (expected.verdict, expected.decided_at) == (Verdict.ROLLBACK, at)
    assert expected.metric == "orders"
    assert evidence == pytest.approx(expected.evidence, rel=1e-6)


def test_without_strata_in_the_policy_the_column_says_nothing(tmp_path: Path) -> None:
    """Pods of one zone each, as sums over both: what a file without the column gives."""
    lines = Service().rows()
    bare = [",".join(line.split(",")[:-1]) + "," for line in lines]
    plain = by(ERRORS)
    found = judged(written(lines, tmp_path / "with.csv"), plain)
    assert found == judged(written(bare, tmp_path / "without.csv"), plain)
    assert found.verdict is not Verdict.PROMOTE


def test_parquet_and_csv_say_the_same(tmp_path: Path) -> None:
    """The column is text in both."""
    lines = Service(worse=3.0).rows()
    found = [judged(written(lines, tmp_path / name), by(ZONED)) for name in ("a.csv", "b.parquet")]
    assert found[0] == found[1]


def test_a_pod_in_several_strata_needs_a_policy_that_tells_them_apart(tmp_path: Path) -> None:
    """Otherwise the second row of a scrape would be dropped as a repetition of the first."""
    path = written(Service(spread=True).rows(), tmp_path / "samples.csv")
    with pytest.raises(SamplesError, match="pod 'p10' has rows of several strata") as caught:
        judged(path, by(ERRORS))
    assert "metric 'errors'" in caught.value.where
    assert "compare.strata" in caught.value.remedy


def test_more_strata_than_are_compared_are_refused(tmp_path: Path) -> None:
    """A label with a value for every user is not a kind of request."""
    lines = [
        f"r,{t},10,stable,p,errors,100,1,,,,user={user}" for t in (-20, -10) for user in range(STRATA + (t == -10))
    ]
    with pytest.raises(SamplesError, match=f"more than {STRATA} strata"):
        judged(written(lines, tmp_path / "samples.csv"), by(ZONED))


def test_what_stable_does_not_serve_promotes_nothing(tmp_path: Path) -> None:
    """Half of the canary's requests are held against nothing, in a file as in a running rollout."""
    random, lines = np.random.default_rng(1), []
    for t in range(-1800, 901, 10):
        for track, path in (("stable", "a"), ("stable", "old"), ("canary", "a"), ("canary", "new")):
            if track == "stable" or t > 0:
                asked = random.poisson(300)
                lines.append(
                    f"r,{t},10,{track},{track[0]},errors,{asked},{random.binomial(asked, 0.01)},,,,path={path}"
                )
    found = judged(written(lines, tmp_path / "samples.csv"), by(ZONED))
    assert found.verdict is Verdict.HOLD
    assert "% of the canary's requests are in strata that stable does not serve" in found.reason
    known = [line.replace("path=new", "path=old") for line in lines]
    promoted = judged(written(known, tmp_path / "known.csv"), by(ZONED))
    assert promoted.verdict is Verdict.PROMOTE
    assert "(sums; compared within 2 strata)" in promoted.reason


def test_slower_buckets_are_made_line_by_line(tmp_path: Path) -> None:
    """A pretended regression of a backtest: counters of one pod in two strata are two histograms."""
    path = written([line for line in Service(spread=True, lasts=3).rows() if ",latency," in line], tmp_path / "s.csv")
    reader = Samples([path])
    (rows,) = iter(reader)
    slower = worsened(rows, metric=0, factor=2.0, chance=np.random.default_rng(1))
    assert slower is not None
    for stratum in (1, 2):
        at = np.flatnonzero((rows.track == Track.CANARY.code) & (rows.stratum == stratum) & (rows.pod == rows.pod[-1]))
        before, after = (each.count[at].reshape(-1, len(BOUNDS)) for each in (rows, slower))
        assert (after[:, 1] == before[:, 0]).all()
        assert (after[:, -1] == before[:, -1]).all()
