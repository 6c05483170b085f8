"""Which policy a new rollout is judged by."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Final

from analysis.graph import circle
from guardian.core.model import Place
from guardian.core.policy import Policy
from guardian.errors import PolicyError

_MOST_COMPARED: Final = 200
"""Names that a wrong one is compared with: 1 ms. A flood of events that nobody has a policy for must stay cheap."""
_MOST_REMEMBERED: Final = 256
NO_CIRCLE: Final = "name only the services that a service calls, not those that call it"


def circles(policies: Iterable[Policy]) -> dict[str, str]:
    """Return, by a policy's name, each circle that depends_on makes in one environment; unknown services make none."""
    known = list(policies)
    found: dict[str, str] = {}
    for environment in sorted({policy.match.environment for policy in known if policy.depends_on}):
        calls: dict[str, tuple[str, ...]] = {}
        for policy in known:
            if policy.match.environment in ("", environment):
                calls[policy.match.service] = (*calls.get(policy.match.service, ()), *policy.depends_on)
        for policy in known:
            if policy.match.environment == environment:
                way = circle(partial(_called, calls), policy.match.service)
                found |= {policy.name: " -> ".join(way)} if way else {}
    return found


def _called(calls: dict[str, tuple[str, ...]], service: str) -> tuple[str, ...]:
    return calls.get(service, ())


class Policies:
    """The policies in force for new rollouts; running ones keep theirs."""

    def __init__(self, policies: Iterable[Policy] = ()) -> None:
        self._by_name: dict[str, Policy] = {}
        self._by_place: dict[tuple[str, str], Policy] = {}
        self._by_service: dict[str, tuple[Policy, ...]] = {}
        self._nearest: dict[str, str | None] = {}
        for policy in policies:
            place = (policy.match.service, policy.match.environment)
            if policy.name in self._by_name:
                raise PolicyError(f"two policies are named '{policy.name}'", remedy="rename one of them")
            if place in self._by_place:
                other = self._by_place[place].name
                where = f"service '{place[0]}', environment '{place[1] or 'any'}'"
                raise PolicyError(
                    f"policies '{other}' and '{policy.name}' both match {where}",
                    remedy="narrow one of the matches",
                )
            self._by_name[policy.name] = policy
            self._by_place[place] = policy
            self._by_service[place[0]] = (*self.of_service(place[0]), policy)
        for name, way in circles(self).items():
            raise PolicyError(f"policy '{name}': depends_on makes a circle: {way}", remedy=NO_CIRCLE)

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, name: str) -> Policy | None:
        """Return the policy of this name; None when there is none."""
        return self._by_name.get(name)

    def find(self, place: Place, name: str | None = None) -> Policy:
        """Return the policy named, or the closest match: service and environment, then service alone.

        Raises PolicyError when there is none; its remedy says which names exist.
        """
        if name is not None:
            if name in self._by_name:
                return self._by_name[name]
            near = difflib.get_close_matches(name, self._by_name, n=1)
            raise PolicyError(
                f"there is no policy '{name}'",
                remedy=f"did you mean '{near[0]}'?" if near else "add its file to the policies folder",
            )
        for key in ((place.service, place.environment), (place.service, "")):
            if key in self._by_place:
                return self._by_place[key]
        raise PolicyError(
            f"no policy matches service '{place.service}' in environment '{place.environment}'",
            remedy=self._instead(place.service),
        )

    def of_service(self, service: str) -> tuple[Policy, ...]:
        """Return the policies whose match names this service, in any environment."""
        return self._by_service.get(service, ())

    def nearest(self, service: str) -> str | None:
        """Return the service with a policy whose name is most like this one, None when none is like it."""
        if service not in self._nearest:
            if len(self._nearest) >= _MOST_REMEMBERED:
                self._nearest.clear()
            near = difflib.get_close_matches(service, islice(self._by_service, _MOST_COMPARED), n=1)
            self._nearest[service] = near[0] if near else None
        return self._nearest[service]

    def _instead(self, service: str) -> str:
        """Say what could have been meant where no policy matches, and what to do if it was not."""
        write = "write a policy whose spec.match names them, or name one: data.policy of an event, --policy"
        if known := self.of_service(service):
            environments = ", ".join(f"'{policy.match.environment}'" for policy in known)
            return f"its policies are for {environments}; use one of these, or {write}"
        near = self.nearest(service)
        return f"did you mean '{near}'? Else {write}" if near else write
