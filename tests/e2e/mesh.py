"""What a service mesh does with a VirtualService, in small: its weights become those of a real HAProxy.

There is no Istio in the tests' control plane: the API server has its definitions and keeps its objects, and
this makes users feel them.
"""

from __future__ import annotations

import threading
from typing import Any

from simulator.testing.haproxy import HaProxy
from simulator.testing.kubelab.api import KubeApi

EVERY = 0.05


class Mesh:
    """Follows one VirtualService until `stop`."""

    def __init__(self, api: KubeApi, path: str, proxy: HaProxy, *, stable: list[str]) -> None:
        self._api, self._path, self._proxy, self._stable = api, path, proxy, stable
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
        while not self._stopped.wait(EVERY):
            share = share_of(self._api.get(self._path))
            if self.shares[-1:] != [share]:
                self.shares.append(share)
                self._proxy.set_weights(weights_of(share, self._stable))


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
