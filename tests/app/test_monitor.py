"""The monitor in a whole daemon: what it measured is told by API and commands, and counted anew after a restart."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from guardian.app import serve
from guardian.config.settings import load_settings
from simulator.testing.plugin import MakePrometheus
from simulator.testing.prometheus import PrometheusPlan
from tests.cli.daemon import guardian
from tests.runtime.test_monitor import counters

SETTINGS = """listen: 127.0.0.1:0
environments: {{production: {{metrics: {{url: '{url}', scrape_interval: 30s}}}}}}
monitor: {{over: 4h, every: 1m}}
"""
POLICY = """apiVersion: slo-guardian/v1
kind: Policy
metadata: {name: checkout}
spec:
  match: {service: checkout}
  router: memory
  workload: memory
  strategy: {kind: canary, steps: [{weight: 25%, bake: 5m}, {weight: 100%, bake: 10m}]}
  guardrails:
    - name: errors
      sli: {ratio: {bad: 'http_requests_total{status=~"5.."}', total: http_requests_total}}
"""
DEPLOY = {"service": "checkout", "environment": "production", "revision": "2.1.0"}


@asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run the daemon of a folder until the block ends."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(load_settings(folder / "guardian.yaml"), stop=stop, ready=ready.set_result))
    async with httpx.AsyncClient(base_url=await asyncio.wait_for(ready, 30.0), trust_env=False) as client:
        yield client
    stop.set()
    await asyncio.wait_for(running, 30.0)


async def measured(client: httpx.AsyncClient, rollout: str) -> dict[str, Any]:
    """What is told of stable against stable, once the whole span was judged."""
    async with asyncio.timeout(60.0):
        while True:
            found = (await client.get(f"/v1/rollouts/{rollout}/explanation")).json()["measured"]
            if found is not None and found["complete"]:
                return dict(found)
            await asyncio.sleep(0.2)


async def test_what_was_measured_is_told_and_counted_anew_after_a_restart(
    prometheus: MakePrometheus, tmp_path: Path
) -> None:
    """By a policy for any environment: API, metrics, `explain`; and no record of the journal has a word of it."""
    server = prometheus(PrometheusPlan(history=counters("checkout", [0.01] * 4, end=time.time() - 1.0)))
    (tmp_path / "guardian.yaml").write_text(SETTINGS.format(url=server.url))
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "checkout.yaml").write_text(POLICY)
    async with daemon(tmp_path) as client:
        (rollout,) = (await client.post("/v1/events", json=DEPLOY)).json()["rollouts"]
        first = await measured(client, rollout)
        metrics = (await client.get("/metrics")).text
        asked = ("explain", rollout, "--server", str(client.base_url))
        said = await asyncio.to_thread(guardian, *asked, folder=tmp_path)
    async with daemon(tmp_path) as client:
        again = await measured(client, rollout)
        history = (await client.get(f"/v1/rollouts/{rollout}/explanation")).json()["history"]
    for found in (first, again):
        assert found["windows"] in {6, 7}, "the newest one may not be settled yet"
        assert (found["false_rollbacks"], found["exceeded"], found["risk"]) == (0, False, 0.01)
    counted = f"stable against stable: 0 of {first['windows']} windows"
    assert f"measured at this service, {counted} (95 %: at most" in first["sentence"]
    assert first["since"].endswith("Z")
    labels = 'environment="production",policy="checkout",region="",service="checkout"'
    assert f"guardian_monitor_windows{{{labels}}} {first['windows']}.0" in metrics
    assert counted in " ".join(said.out.split())
    assert "stable against stable" not in json.dumps(history)


async def test_a_monitor_that_is_turned_off_asks_nobody_and_tells_nothing(tmp_path: Path) -> None:
    """No field of the explanation, no metric."""
    text = SETTINGS.format(url="http://127.0.0.1:9").replace("{over: 4h, every: 1m}", "{enabled: false}")
    (tmp_path / "guardian.yaml").write_text(text)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "checkout.yaml").write_text(POLICY)
    async with daemon(tmp_path) as client:
        (rollout,) = (await client.post("/v1/events", json=DEPLOY)).json()["rollouts"]
        told = (await client.get(f"/v1/rollouts/{rollout}/explanation")).json()
        metrics = (await client.get("/metrics")).text
    assert told["measured"] is None
    assert "guardian_monitor" not in metrics
