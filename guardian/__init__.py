"""slo-guardian: watches a release on live metrics and promotes it or rolls it back on evidence.

The names here are the public ones. Importing them loads numpy and scipy, but no web, broker or cluster library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardian.errors import GuardianError

if TYPE_CHECKING:
    from guardian.config.policy import load_policy
    from guardian.core.engine import Decision, Engine
    from guardian.core.explain import explain
    from guardian.core.looks import Observed
    from guardian.core.model import Phase, Verdict
    from guardian.core.policy import Guardrail, Policy, Slo
    from guardian.core.records import Evidence
    from guardian.core.rollout import Rollout
    from guardian.core.world import fold

_HOMES = {
    "Decision": "guardian.core.engine",
    "Engine": "guardian.core.engine",
    "Evidence": "guardian.core.records",
    "Guardrail": "guardian.core.policy",
    "Slo": "guardian.core.policy",
    "Observed": "guardian.core.looks",
    "Phase": "guardian.core.model",
    "Policy": "guardian.core.policy",
    "Rollout": "guardian.core.rollout",
    "Verdict": "guardian.core.model",
    "explain": "guardian.core.explain",
    "fold": "guardian.core.world",
    "load_policy": "guardian.config.policy",
}

__all__ = [
    "Decision",
    "Engine",
    "Evidence",
    "GuardianError",
    "Guardrail",
    "Observed",
    "Phase",
    "Policy",
    "Rollout",
    "Slo",
    "Verdict",
    "explain",
    "fold",
    "load_policy",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: `guardian --help` must not wait for scipy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'guardian' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
