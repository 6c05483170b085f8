"""For tests: rollouts simulated against a policy, and real services on loopback.

`simulate_rollout` is for a team's own tests (docs/reference/testing.md). The services (Kafka, Prometheus, Alertmanager,
HAProxy, HTTP pods, a Kubernetes control plane) are the real programs; nothing here imitates a service's protocol. Their
pytest fixtures are in `simulator.testing.plugin`; what must be fetched or built once is done by
`python -m simulator.testing.services prepare`. README.md beside this file shows the use of each.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.testing.rollouts import SimulatedRollout, simulate_rollout

__all__ = ["SimulatedRollout", "simulate_rollout"]


def __getattr__(name: str) -> Any:
    """Load what is asked for: starting a service needs no simulator."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from simulator.testing import rollouts  # noqa: PLC0415

    return getattr(rollouts, name)
