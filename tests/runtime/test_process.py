"""The daemon as a process of its own: how it starts, stops, refuses to start, and comes back after kill -9."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from guardian.adapters.journal.audit import verify
from simulator.testing.haproxy import HaProxy
from simulator.testing.plugin import MakeHaProxy, MakePod

POLICY = """\
apiVersion: slo-guardian/v1
kind: Policy
metadata: {{name: checkout}}
spec:
  match: {{service: checkout, environment: production}}
  router: {router}
  strategy: {{kind: canary, steps: [{{weight: 10%, bake: 5m}}, {{weight: 50%, bake: 5m}}, {{weight: 100%, bake: 5m}}]}}
  guardrails:
    - name: errors
      sli: {{ratio: {{bad: 'http_requests_total{{status=~"5.."}}', total: http_requests_total}}}}
"""
DEPLOY = {"service": "checkout", "environment": "production", "revision": "2.1.0"}


class Guardian:
    """One data folder and the daemons that run on it, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.lives = 0
        self.client = httpx.Client(timeout=10.0, trust_env=False, verify=False)  # noqa: S501  plain HTTP

    def configure(self, *, router: str = "memory", environment: str = "{}", **settings: str) -> None:
        """Write guardian.yaml and one policy."""
        (self.folder / "policies").mkdir()
        (self.folder / "policies" / "checkout.yaml").write_text(POLICY.format(router=router))
        lines = {"listen": "127.0.0.1:0", "environments": f"{{production: {environment}}}", **settings}
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        (self.folder / "guardian.yaml").write_text("apiVersion: slo-guardian/v1\nkind: Settings\n" + text)

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.lives += 1
        log = self.log()
        with log.open("wb") as file:
            self.process = subprocess.Popen(self.command(), stderr=file, cwd=self.folder)
        ready = wait_for(lambda: re.search(rb'"url":"([^"]+)","event":"ready"', log.read_bytes()) or self.ended())
        assert ready is not True, log.read_text()
        self.url = ready.group(1).decode()

    def ended(self) -> bool:
        """Whether the process is over."""
        return self.process is not None and self.process.poll() is not None

    def command(self) -> list[str]:
        """Return how the daemon is started."""
        return [sys.executable, "-m", "guardian", "run", "-c", str(self.folder / "guardian.yaml")]

    def refused(self) -> subprocess.CompletedProcess[str]:
        """Start a daemon that is expected to end by itself; return how it did."""
        return subprocess.run(self.command(), cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)

    def log(self) -> Path:
        """Return the log of this life."""
        return self.folder / f"log-{self.lives}"

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def get(self, path: str) -> Any:
        """Return what the API answers."""
        return self.client.get(self.url + path).json()

    def post(self, path: str, body: object, **headers: str) -> Any:
        """Post to the API; return what it answers."""
        return self.client.post(self.url + path, json=body, headers=headers).json()

    def rollout(self) -> Any:
        """Return the newest rollout."""
        return self.get("/v1/rollouts")["items"][0]

    def events(self, count: int) -> dict[str, bytes]:
        """Return the first events of the stream, from the journal's beginning: id -> data as it was sent."""
        found: dict[str, bytes] = {}
        with self.client.stream("GET", self.url + "/v1/stream", headers={"last-event-id": "0.0"}) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    found[json.loads(line[6:])["id"]] = line[6:].encode()
                if len(found) == count:
                    return found
        return found


def wait_for(true: Callable[[], Any], *, within: float = 30.0) -> Any:
    """Return the first answer that is true."""
    until = time.monotonic() + within
    while not (answer := true()):
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.02)
    return answer


@pytest.fixture
def guardian(tmp_path: Path) -> Iterator[Guardian]:
    """A folder for daemons; none of them outlives the test."""
    made = Guardian(tmp_path)
    yield made
    made.client.close()
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def test_it_starts_takes_an_event_and_stops_on_sigterm(guardian: Guardian) -> None:
    """It ends soon, with exit code 0, and the journal is whole."""
    guardian.configure()
    guardian.start()
    assert guardian.get("/readyz") == {"ready": True, "problems": []}
    assert guardian.post("/v1/events", DEPLOY)["taken"] == 1
    began = time.monotonic()
    assert guardian.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 5.0
    assert verify(guardian.folder / "guardian-data" / "journal.sqlite").rows >= 1


def test_a_listener_of_the_stream_does_not_hold_up_the_stop(guardian: Guardian) -> None:
    """Streams are ended, not waited for."""
    guardian.configure()
    guardian.start()
    with guardian.client.stream("GET", guardian.url + "/v1/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        began = time.monotonic()
        assert guardian.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 5.0
        assert list(lines) is not None


def test_only_one_daemon_uses_a_data_folder(guardian: Guardian) -> None:
    """The second one says who holds it, and ends with 1."""
    guardian.configure()
    guardian.start()
    assert guardian.process is not None
    second = guardian.refused()
    assert second.returncode == 1
    assert f"process {guardian.process.pid}" in second.stderr


def test_a_changed_policy_is_taken_and_a_wrong_one_is_not(guardian: Guardian) -> None:
    """SIGHUP loads the folder again; what is invalid leaves the old policies in force and says so."""
    guardian.configure()
    guardian.start()
    assert guardian.process is not None
    policy = guardian.folder / "policies" / "checkout.yaml"
    policy.write_text(policy.read_text().replace("weight: 10%", "weight: 20%"))
    guardian.process.send_signal(signal.SIGHUP)
    wait_for(lambda: b'"policies_loaded"' in guardian.log().read_bytes())
    policy.write_text("apiVersion: slo-guardian/v1\nkind: Policy\n")
    guardian.process.send_signal(signal.SIGHUP)
    ready = wait_for(lambda: guardian.get("/readyz") if guardian.get("/readyz")["problems"] else None)
    assert ready["ready"]
    assert "checkout.yaml" in ready["problems"][0]["text"]
    guardian.post("/v1/events", DEPLOY)
    assert guardian.rollout()["steps"][0]["weight"] == 0.2


def test_an_address_that_is_taken_is_named(guardian: Guardian) -> None:
    """With what to do about it, and exit code 1."""
    guardian.configure()
    guardian.start()
    address = guardian.url.removeprefix("http://")
    (guardian.folder / "second").mkdir()
    second = Guardian(guardian.folder / "second")
    second.configure(listen=address)
    ended = second.refused()
    assert ended.returncode == 1
    assert address in ended.stderr
    assert "listen" in ended.stderr


def test_a_token_is_demanded_beyond_loopback(guardian: Guardian) -> None:
    """It does not start without one; with one, nothing is answered without it."""
    guardian.configure(listen="0.0.0.0:0")
    refused = guardian.refused()
    assert refused.returncode == 2
    assert "token" in refused.stderr
    (guardian.folder / "token").write_text("s3cret\n")
    with (guardian.folder / "guardian.yaml").open("a") as file:
        file.write("token: {file: token}\n")
    guardian.start()
    guardian.url = guardian.url.replace("0.0.0.0", "127.0.0.1")
    assert guardian.get("/v1/rollouts")["status"] == 401
    taken = guardian.post("/v1/events", DEPLOY, Authorization="Bearer s3cret")
    assert taken["taken"] == 1


def test_killed_in_the_middle_of_a_flood_it_keeps_all_it_acknowledged(guardian: Guardian) -> None:
    """Events are sent while the process is killed; each one answered 202 is there afterwards, once."""
    guardian.configure()
    acknowledged: set[str] = set()
    number = 0
    for _ in range(3):
        guardian.start()
        for _ in range(60):
            number += 1
            event = {**DEPLOY, "service": f"s{number}"}
            if guardian.post("/v1/events", event, **{"idempotency-key": str(number)})["taken"]:
                acknowledged.add(str(number))
        guardian.end(signal.SIGKILL)
    guardian.start()
    again = [
        guardian.post("/v1/events", {**DEPLOY, "service": f"s{key}"}, **{"idempotency-key": key})
        for key in acknowledged
    ]
    assert len(acknowledged) == 180
    assert {answer["taken"] for answer in again} == {0}
    assert verify(guardian.folder / "guardian-data" / "journal.sqlite").rows == max(a["seq"] for a in again)


def weight_of(proxy: HaProxy) -> float:
    """Return the canary's share as HAProxy has it."""
    weights = proxy.weights()
    return float(round(weights["canary"] / (weights["canary"] + weights["stable"]), 3))


def test_killed_in_the_middle_of_a_rollout_it_goes_on(
    guardian: Guardian, haproxy: MakeHaProxy, http_app: MakePod
) -> None:
    """On a real proxy: the weight stays where it was, then goes to 0 once; events repeat byte for byte."""
    stable, canary = http_app(track="stable", pod="s"), http_app(track="canary", pod="c")
    proxy = haproxy({"stable": stable.address, "canary": canary.address}, weights={"stable": 1, "canary": 0})
    guardian.configure(
        router=f"{{haproxy: {{backend: {proxy.backend}}}}}",
        environment=f"{{haproxy: {{main: {{socket: {proxy.socket}}}}}}}",
    )
    seen = [weight_of(proxy)]

    def watched(true: Callable[[], Any]) -> Any:
        def look() -> Any:
            if (weight := weight_of(proxy)) != seen[-1]:
                seen.append(weight)
            return true()

        return wait_for(look)

    guardian.start()
    guardian.post("/v1/events", DEPLOY, **{"idempotency-key": "a"})
    watched(lambda: guardian.rollout()["weight"]["accepted"] == 0.1)
    before = guardian.events(3)
    guardian.end(signal.SIGKILL)
    watched(lambda: True)
    guardian.start()
    watched(lambda: guardian.rollout()["phase"] == "progressing")
    assert guardian.events(3) == before
    guardian.post(f"/v1/rollouts/{guardian.rollout()['id']}/rollback", {"reason": "drill"})
    guardian.end(signal.SIGKILL)
    guardian.start()
    watched(lambda: guardian.rollout()["phase"] == "rolled-back")
    watched(lambda: True)
    assert seen == [0.0, 0.1, 0.0]
