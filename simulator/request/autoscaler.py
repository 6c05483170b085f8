"""Adds pods where workers are busy, and takes them away when fewer were enough for long.

Source: the rule of Kubernetes' HorizontalPodAutoscaler: pods x (busy / wanted), rounded up, nothing within 10 %.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from simpy import Environment, Event, Timeout

from simulator.request.language import Autoscaler
from simulator.request.pod import Pod

TOLERANCE: Final = 0.1
LOOK: Final = 1.0
"""Seconds between two readings of how busy pods are."""


def scale(
    environment: Environment, rule: Autoscaler, pods: Sequence[Pod], changed: Callable[[], None]
) -> Generator[Event, Any, None]:
    """Keep one group of pods at its size, for ever; changed: is called when a pod came or went.

    A group none of whose pods is wanted was not brought up yet, or was taken down: it is left alone.
    """
    looks = max(1, round(rule.every / LOOK))
    enough: deque[int] = deque(maxlen=max(1, round(rule.settle / rule.every)))
    while True:
        busy = 0.0
        for _ in range(looks):
            yield Timeout(environment, rule.every / looks)
            up = [pod for pod in pods if pod.up]
            busy += sum(min(pod.busy, pod.workers) for pod in up) / max(1.0, sum(pod.workers for pod in up)) / looks
        wanted = [pod for pod in pods if pod.wanted]
        if not wanted:
            enough.clear()
            continue
        ratio = busy / rule.busy
        goal = len(wanted) if abs(ratio - 1) <= TOLERANCE else math.ceil(len(wanted) * ratio)
        enough.append(min(max(goal, rule.least), len(pods)))
        for pod in [pod for pod in pods if not pod.wanted][: max(0, enough[-1] - len(wanted))]:
            pod.wanted = True
            environment.process(_bring_up(environment, rule, pod, changed))
        if len(enough) == enough.maxlen and max(enough) < len(wanted):
            for pod in wanted[max(enough) :]:
                pod.stop()
            changed()


def _bring_up(
    environment: Environment, rule: Autoscaler, pod: Pod, changed: Callable[[], None]
) -> Generator[Event, Any, None]:
    yield Timeout(environment, rule.ready)
    if pod.wanted and not pod.up:
        pod.start()
        changed()
