"""The checks behind `guardian doctor`: each asks the real thing once, changes nothing, and never fails the others."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

from guardian.adapters._selectors import Selector, equal, parse_selector
from guardian.adapters._series import INSTANCE, LE, parts_of
from guardian.adapters.metrics.history import PrometheusHistory
from guardian.app.connections import Connections
from guardian.app.kafka import access_of
from guardian.cli.adapters import adapter_findings
from guardian.cli.client import Client
from guardian.cli.diagnosis import Symptom, note, of_error, ok, problem
from guardian.cli.notifiers import reached, tried
from guardian.cli.spread import stable_selector
from guardian.cli.traffic import history_of
from guardian.config.policy import read_policies
from guardian.config.settings import Kafka, Metrics, Settings
from guardian.core.looks import Part
from guardian.core.model import Instant, Place
from guardian.core.policy import Guardrail, Labels, Policy
from guardian.errors import GuardianError, Unavailable
from guardian.runtime.clock import SystemClock


async def examine(settings: Settings, *, patience: float, notify: bool = False) -> list[Symptom]:
    """Return what every check found; patience: seconds that one may take. notify: have notifiers tell a test notice."""
    found = [*_token(settings), _folder(settings.data), *_hooks(settings)]
    policies, said = _policies(settings)
    found += said
    found += [await _in_time("daemon", _daemon(settings), patience)]
    if settings.kafka is not None:
        found += [await _in_time("kafka", _kafka(settings.kafka), patience)]
    ask = tried if notify else reached
    for name, way in settings.notify.items():
        found += [await _in_time(f"notify {name}", ask(name, way), patience)]
    connections = Connections(settings, clock=SystemClock())
    try:
        for policy in policies:
            for place in places_of(settings, policy):
                async for symptom in _place(settings, connections, policy, place, patience):
                    found.append(symptom)
    finally:
        await connections.close()
    return found


async def _in_time(check: str, asked: Awaitable[Symptom], patience: float) -> Symptom:
    """Return what the check says; an error or no answer is what it says, too."""
    try:
        async with asyncio.timeout(patience):
            return await asked
    except TimeoutError:
        return problem(check, f"no answer within {patience:g}s", "check address and network; --timeout waits longer")
    except GuardianError as error:
        return of_error(check, error)


def _token(settings: Settings) -> list[Symptom]:
    if settings.token is None:
        return [note("token", f"none; {settings.listen} is reached by programs of this machine only")]
    try:
        settings.token.read()
    except GuardianError as error:
        return [of_error("token", error)]
    return [ok("token", "can be read")]


def _folder(folder: Path) -> Symptom:
    """Return whether the journal can be written: the folder, or the first parent there is."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir():
        return problem("journal", f"{there} is not a folder", "name another 'data:' in guardian.yaml")
    if not os.access(there, os.W_OK | os.X_OK):
        return problem("journal", f"{there} cannot be written", "change its permissions, or name another 'data:'")
    state = "can be written" if there == folder else "will be made"
    return ok("journal", f"{folder} {state}")


def _hooks(settings: Settings) -> list[Symptom]:
    secure = ", http_config: {authorization: {credentials_file: PATH}}" if settings.token is not None else ""
    receiver = f"webhook_configs: [{{url: '{settings.url}/hooks/alertmanager', send_resolved: true{secure}}}]"
    return [note("alertmanager", f"add to a receiver: {receiver}", "alerts need labels service, track and severity")]


def _policies(settings: Settings) -> tuple[list[Policy], list[Symptom]]:
    if not settings.policies.exists():
        what = f"{settings.policies} does not exist"
        return [], [problem("policies", what, "make the folder and put a policy into it, see examples/policies")]
    try:
        files = read_policies([settings.policies])
    except GuardianError as error:
        return [], [of_error("policies", error)]
    if not files:
        return [], [problem("policies", f"{settings.policies} holds none", "see examples/policies")]
    said = [
        problem(f"policy {finding.where.rsplit(':', 2)[0]}", str(finding.what), f"{finding.where}: {finding.remedy}")
        for file in files
        for finding in (*file.findings, *adapter_findings(file))
    ]
    good = [file.policy for file in files if file.policy is not None and not file.findings]
    return good, said or [ok("policies", f"{len(good)} valid in {settings.policies}")]


async def _daemon(settings: Settings) -> Symptom:
    token = settings.token.read() if settings.token is not None else None

    def ask() -> dict[str, Any]:
        with Client(settings.url, token=token) as client:
            return client.ready()

    try:
        state = await asyncio.to_thread(ask)
    except Unavailable:
        return note("daemon", f"none answers at {settings.url}", "start it with `guardian run`")
    wrong = "; ".join(f"{one['part']}: {one['text']}" for one in state["problems"])
    if not state["ready"]:
        return problem("daemon", f"is not ready: {wrong}", "see its log")
    return ok("daemon", f"ready at {settings.url}") if not wrong else note("daemon", wrong)


async def _kafka(kafka: Kafka) -> Symptom:
    """Return whether a broker answers and the topics exist."""
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415  only with a broker
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    access = access_of(kafka)
    admin = AIOKafkaAdminClient(**access.options())
    try:
        await admin.start()
        topics = set(await admin.list_topics())
    except (KafkaError, OSError) as error:
        what = f"{access.where}: {str(error) or type(error).__name__}"
        return problem("kafka", what, "check bootstrap, security and network")
    finally:
        await admin.close()
    wanted = (kafka.topics.events, kafka.topics.dead_letter, kafka.topics.decisions)
    if absent := [topic for topic in wanted if topic not in topics]:
        return problem("kafka", f"topics are missing: {', '.join(absent)}", "create them with kafka-topics")
    return ok("kafka", f"{access.where} answers, its three topics exist")


def places_of(settings: Settings, policy: Policy) -> list[Place]:
    """Return where rollouts of a policy may happen, as far as guardian.yaml says."""
    names = [policy.match.environment] if policy.match.environment else list(settings.environments)
    places: list[Place] = []
    for name in names:
        environment = settings.environments.get(name)
        regions = ("", *environment.regions) if environment is not None else ("",)
        places += [Place(service=policy.match.service, environment=name, region=region) for region in regions]
    return places


async def _place(
    settings: Settings, connections: Connections, policy: Policy, place: Place, patience: float
) -> AsyncIterator[Symptom]:
    try:
        environment = settings.place(place.environment, place.region)
    except GuardianError as error:
        yield of_error(f"{place}", error)
        return
    async for symptom in _actuators(connections, policy, place, patience):
        yield symptom
    if environment.metrics is None:
        remedy = f"add environments.{place.environment}.metrics to guardian.yaml"
        yield problem(f"{place} metrics", "no metrics are configured: nothing could be judged", remedy)
        return
    async for symptom in _metrics(environment.metrics, settings, policy, place, patience):
        yield symptom


async def _actuators(connections: Connections, policy: Policy, place: Place, patience: float) -> AsyncIterator[Symptom]:
    try:
        ports = connections.ports_of(policy, place)
    except GuardianError as error:
        yield of_error(f"{place} router, workload", error)
        return
    if ports.router is not None:
        router, target = ports.router
        yield await _in_time(f"{place} router", _weight(router, target), patience)
    if ports.inspection is not None:
        inspection, target = ports.inspection
        yield await _in_time(f"{place} workload", _revision(inspection, target), patience)


async def _weight(router: Any, target: Any) -> Symptom:
    weight = await router.accepted_weight(target)
    return ok(f"{target.place} router", f"answers; the canary has {weight:.0%}")


async def _revision(inspection: Any, target: Any) -> Symptom:
    revision = await inspection.stable_revision(target)
    return ok(f"{target.place} workload", f"answers; stable runs {revision or 'nothing'}")


async def _metrics(
    metrics: Metrics, settings: Settings, policy: Policy, place: Place, patience: float
) -> AsyncIterator[Symptom]:
    check = f"{place} metrics"
    if metrics.url is None:
        remedy = f"in prometheus.yml: remote_write: [{{url: '{settings.url}/api/v1/write'}}]"
        yield note(check, "streamed only: whether they come is seen on the daemon's /metrics", remedy)
        return
    history = history_of(metrics)
    for guardrail in policy.guardrails:
        asked = _series(history, metrics, policy, guardrail, place)
        yield await _in_time(f"{check} '{guardrail.name}'", asked, patience)


async def _series(
    history: PrometheusHistory, metrics: Metrics, policy: Policy, guardrail: Guardrail, place: Place
) -> Symptom:
    """Return whether each part of a guardrail has series of stable; without them nothing can be compared."""
    check = f"{place} metrics '{guardrail.name}'"
    counts: list[str] = []
    for part, text in parts_of(guardrail.sli):
        if policy.labels.control and not selects(text, policy.labels, policy.labels.control):
            remedy = f"have it match {policy.labels.track}='{policy.labels.control}', or leave the track out of it"
            return problem(check, f"{text} selects no series of the control track", remedy)
        selector = stable_selector(text, policy.labels, place.service, metrics.labels)
        found = await history.query(f"count({selector})", Instant(time.time()))
        number = int(found[0].value[-1]) if found else 0
        if number == 0 and part != "bad":  # a counter of errors may not exist before the first one
            remedy = "mend the selector or spec.labels; the series must carry the labels that tell service and track"
            return problem(check, f"no series for {selector}", remedy)
        if part is Part.BUCKET and (pod := await _open_ended(history, selector, policy)):
            what = f"the buckets of pod '{pod}' end without le=\"+Inf\", so how many requests there are is not known"
            return problem(check, f"{what}: {selector}", "let exporter, relabelling and selector keep that bucket")
        counts.append(f"{part}: {number}")
    return ok(check, f"series of stable: {', '.join(counts)}")


async def _open_ended(history: PrometheusHistory, selector: Selector, policy: Policy) -> str:
    """Return a pod that has buckets and no last one, "" where there is none."""
    by, last = f"by ({policy.labels.pod}, {INSTANCE})", selector.plus([equal(LE, "+Inf")])
    found = await history.query(f"count {by} ({selector}) unless count {by} ({last})", Instant(time.time()))
    named = sorted(line.labels.get(policy.labels.pod) or line.labels.get(INSTANCE, "") for line in found)
    return named[0] if named else ""


def selects(text: str, labels: Labels, track: str) -> bool:
    """Whether a guardrail's selector lets series of a track through; one that does not name tracks is given all."""
    named = [matcher for matcher in parse_selector(text).matchers if matcher.label == labels.track]
    return all(matcher.matches(track) for matcher in named)
