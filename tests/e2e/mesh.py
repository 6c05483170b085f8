"""What a service mesh does with a VirtualService, in small: its weights become those of a real HAProxy.

There is no Istio in the tests' control plane: the API server has its definitions and keeps its objects, and
this makes users feel them. It watches, so it sees every version of the object, however short it stood.
"""

from __future__ import annotations

import http.client
import threading
from typing import Any

from simulator.testing.kubelab.api import ApiError, KubeApi
from tests.e2e.wire import Wire

WATCH = 2
"""Seconds of one watch; the next goes on where it ended."""


class Mesh:
    """Follows one VirtualService until `stop`. collection: path of the VirtualServices it is one of."""

    def __init__(self, api: KubeApi, collection: str, name: str, wire: Wire, *, stable: list[str]) -> None:
        self._api, self._wire, self._stable = api, wire, stable
        self._object, self._watched = f"{collection}/{name}", f"{collection}?fieldSelector=metadata.name={name}"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mesh", daemon=True)
        self.shares: list[float] = []
        """Canary shares of the VirtualService, each change once, in order."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        version = ""
        while not self._stopped.wait(0.05 if not version else 0.0):
            try:
                if not version:
                    version = self._follow(self._api.get(self._object))
                for event in self._api.watch(self._watched, version, seconds=WATCH):
                    version = self._event(event, version)
            except (OSError, http.client.HTTPException, ValueError):
                continue  # busy, or cut off in a line: the watch goes on from the version it had
            except ApiError:
                version = ""

    def _event(self, event: Any, version: str) -> str:
        """Follow one event of the watch; return the version to go on from, nothing to begin anew."""
        if event["type"] == "ERROR":
            return ""
        if event["type"] != "BOOKMARK":
            return self._follow(event["object"])
        return str(event["object"]["metadata"]["resourceVersion"]) or version

    def _follow(self, virtual_service: Any) -> str:
        share = share_of(virtual_service)
        if self.shares[-1:] != [share]:
            self.shares.append(share)
            self._wire.set_weights(weights_of(share, self._stable))
        return str(virtual_service["metadata"]["resourceVersion"])


def share_of(virtual_service: Any) -> float:
    """Return the canary's share of a VirtualService with two subsets."""
    weights = {
        one["destination"]["subset"]: one.get("weight", 0) for one in virtual_service["spec"]["http"][0]["route"]
    }
    return float(weights["canary"] / sum(weights.values()))


def weights_of(share: float, stable: list[str]) -> dict[str, int]:
    """Return HAProxy's weights for that share: each of n stable servers gets 1/n of the rest."""
    count = len(stable)
    return dict.fromkeys(stable, round(240 * (1 - share) / count)) | {"canary": round(240 * share)}
