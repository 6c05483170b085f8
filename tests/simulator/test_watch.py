"""`guardian simulate --watch` as a person meets it: on terminals of two sizes, in a pipe, ended by Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardian.config.policy import parse_policy
from simulator.commands.frame import frame
from simulator.commands.pictures import title
from simulator.library import judged_by
from simulator.outcome import compare
from simulator.request.language import Grain
from simulator.run import run
from simulator.scenario import Scenario
from simulator.trace import Tracing
from tests.simulator.terminal import Page, Terminal, run_on_terminal
from tests.simulator.tunings import POLICY, SCENARIOS
from tests.simulator.worlds import shipped


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "guardian", "simulate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _line(page: Page, beginning: str) -> str:
    return next(line for line in page if line.startswith(beginning))


def _moment(scenario: Scenario, at: float) -> Tracing:
    """Return a run as it stands so many seconds after the traffic shift."""
    tracing = Tracing(scenario, 1)

    def look() -> None:
        if tracing.simulation.world.shift is not None and tracing.now >= at:
            tracing.simulation.end()

    tracing.every(1.0, look)
    tracing.simulation.go()
    return tracing


def test_a_person_sees_the_run_go_on_to_its_verdict() -> None:
    """80 x 24: one page that is written over and over, never wiped, and that stays on the terminal when it is over."""
    terminal, code = run_on_terminal(["simulate", "S02", "--watch", "--seed", "3", "--speed", "60"])
    scenario = shipped("S02")
    assert code == 0
    assert (terminal.own, terminal.cursor) == (False, True)
    assert terminal.pages[0][0] == f"{'S02, seed 3: Clear regression':<77}x60"
    assert terminal.pages[0][1].startswith("0s since the deploy event")
    middle = next(page for page in terminal.pages if page[1].startswith("1m"))
    assert "1.1.0 progressing, step 1 of 3, weight 10%" in middle
    canary, stable = (_line(middle, track).split() for track in ("canary", "stable"))
    assert 15 < float(canary[1].removesuffix("/s")) < 26
    assert float(canary[2].removesuffix("%")) > 1.2 * float(stable[2].removesuffix("%"))
    assert (canary[3].endswith("ms"), canary[4], stable[4]) == (True, "10%", "90%")
    assert _line(middle, "all together").endswith("of 100")
    assert "first weight 10%" in " ".join(middle)
    assert terminal.left.splitlines()[-1] == title(compare(scenario, run(scenario, 3)))
    assert "rolled-back: checkout 1.1.0 fails more" in terminal.left


def test_evidence_lies_left_of_its_threshold_until_it_decides() -> None:
    """On one logarithmic axis for all bars: that of the rollback passes 100 where the verdict is."""
    terminal, _ = run_on_terminal(["simulate", "S02", "--watch", "--speed", "30"])
    bars = [_line(page, "all together") for page in terminal.pages if any(line.startswith("all to") for line in page)]
    values = [float(line.split()[-3].replace(",", "")) for line in bars]
    lengths = [line.count("━") for line in bars]
    assert all("┃" in line for line in bars)
    assert [one for _, one in sorted(zip(values, lengths, strict=True))] == sorted(lengths)
    assert all(("━┃" in line) == (value >= 60) for line, value in zip(bars, values, strict=True))


def test_a_wide_terminal_shows_causes_request_by_request(tmp_path: Path) -> None:
    """100 x 30, request grain; the seed draws the same run as without anybody looking."""
    file = tmp_path / "broken.yaml"
    file.write_text(SCENARIOS["broken"].replace("rate: 200", "rate: 60"), encoding="utf-8")
    arguments = ["simulate", str(file), "--grain", "request", "--seed", "2"]
    terminal, code = run_on_terminal([*arguments, "--watch", "--speed", "max"], width=100, height=30)
    assert "playing the 5m before the deploy event" in terminal.left
    assert all(len(page) == 30 for page in terminal.pages)
    assert "as fast as possible" in terminal.pages[0][0]
    told = terminal.left.splitlines()[-1]
    assert f"broken, seed 2: {'rollback' if code == 0 else ''}" in told
    alone = _simulate(*arguments[1:], "-o", "json").stdout
    bad, total = re.findall(r'"(?:bad|total)_requests":(\d+)', alone)
    assert told.endswith(f"{int(bad):,} of {int(total):,} requests failed")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_say_what_was_decided_so_far(stop: signal.Signals) -> None:
    """Exit code 130 or 143, the terminal as it was before, the last page and a line below it."""

    def shifted(terminal: Terminal) -> bool:
        return bool(terminal.pages) and "since the traffic shift" in terminal.pages[-1][1]

    terminal, code = run_on_terminal(["simulate", "S08", "--watch", "--speed", "20"], until=shifted, stop=stop)
    assert code == 128 + stop
    assert (terminal.own, terminal.cursor) == (False, True)
    *_, last = terminal.left.splitlines()
    assert last.startswith("S08, seed 1: interrupted after ")
    assert "; nothing was decided; 1.1.0 progressing, step 1 of 3, weight 10%" in last
    assert "Traceback" not in terminal.left


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_before_the_deploy_event_is_no_error(stop: signal.Signals) -> None:
    """The history of a run in request grain takes seconds; at real time the run could not end meanwhile."""
    arguments = ["simulate", "S07", "--watch", "--speed", "1"]
    terminal, code = run_on_terminal(
        arguments, until=lambda terminal: "before the deploy event" in terminal.left, stop=stop
    )
    assert (code, terminal.cursor) == (128 + stop, True)
    assert terminal.left.splitlines()[-1] == "interrupted before the deploy event"


def test_a_pipe_gets_a_line_for_each_decision_and_each_minute() -> None:
    """As fast as possible, and the verdict last."""
    done = _simulate("S08", "--watch", "--seed", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    seen = run(shipped("S08"), 1).seen
    minutes = [line for line in lines if "; stable " in line]
    assert [line.split()[0] for line in minutes[:3]] == ["0s", "1m", "2m"]
    assert re.search(
        r"canary [\d.]+/s, [\d.]+% failed, p95 \d+ms; evidence: rollback \(all together\) .+ of 100", minutes[3]
    )
    assert len(lines) == len(minutes) + len(seen) + 1
    assert any(line.split()[1] == "held:" and "stable as well" in line for line in lines)
    assert lines[-1].startswith("S08, seed 1: ")
    assert "\x1b" not in done.stdout


def test_a_run_that_does_not_come_out_right_exits_3(tmp_path: Path) -> None:
    """Right is what the line says: nothing wrong, and all in time."""
    file = tmp_path / "wrong.yaml"
    truth = "{verdict: promote, onset: 0s, within: 60s}"
    file.write_text(re.sub(r"truth: \{.*\}", f"truth: {truth}", SCENARIOS["broken"]), encoding="utf-8")
    done = _simulate(str(file), "--watch")
    assert done.returncode == 3
    assert "expected promote: wrong" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("S01", "S02"), "--watch shows one scenario, 2 were named"),
        (("S01", "--seeds", "2"), "--seeds does not go with it"),
        (("S01", "-o", "json"), "-o json does not go with it"),
        (("S01", "--plot", "-"), "--plot does not go with it"),
        (("S01", "--speed", "0"), "--speed 0 is no speed"),
        (("S01", "--speed", "fast"), "write 30 for thirty times real time, or max"),
        (("S01", "--seed", "1", "--seeds", "1"), "--seeds and --seed were both given"),
    ],
)
def test_what_cannot_be_watched_is_told(arguments: tuple[str, ...], told: str) -> None:
    """With exit code 2, and nothing on stdout."""
    done = _simulate(*arguments, "--watch")
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_speed_needs_somebody_who_watches() -> None:
    """Else it would be silently of no effect."""
    done = _simulate("S01", "--speed", "10")
    assert done.returncode == 2
    assert "add --watch" in done.stderr


def test_one_seed_alone_is_the_run_that_many_seeds_have() -> None:
    """`--seed 3` is the third of `--seeds 3`."""
    alone, among = _simulate("S01", "--seed", "3", "-o", "json"), _simulate("S01", "--seeds", "3", "-o", "json")
    assert alone.stdout.splitlines() == among.stdout.splitlines()[2:]


@pytest.mark.parametrize("grain", list(Grain))
def test_looking_at_every_second_changes_nothing(grain: Grain) -> None:
    """Every event, time and count."""
    scenario = shipped("S01").played(grain)
    scenario = replace(scenario, spec=scenario.spec.model_copy(update={"history": 400.0}))
    tracing = Tracing(scenario, 2)
    drawn = []
    tracing.every(1.0, lambda: drawn.append(frame(tracing, width=80, height=24, speed="x1")))
    tracing.simulation.go()
    assert len(drawn) > 30
    assert tracing.finished().outcome.run == run(scenario, 2)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (60, 12)])
def test_many_guardrails_leave_room_for_decisions(width: int, height: int) -> None:
    """Those that are nearest to deciding are shown, the others are counted."""
    one = POLICY[POLICY.index("    - name: errors") :]
    many = POLICY + "".join(one.replace("errors  #", f"a-name-that-is-long-{number}  #") for number in range(8))
    tracing = _moment(judged_by(shipped("S02"), parse_policy(many, file="policy"), file="policy"), 61.0)
    lines = [line.plain for line in frame(tracing, width=width, height=height, speed="x1")]
    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width
    assert any(line.startswith("and ") and line.endswith("more, further from deciding") for line in lines)
    assert "first weight 20%" in lines[-1] or height < 24
