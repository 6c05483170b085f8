"""Which policy a new rollout is judged by."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from guardian.core.model import Place
from guardian.core.policy import Policy
from guardian.errors import PolicyError


class Policies:
    """The policies in force for new rollouts; running ones keep theirs."""

    def __init__(self, policies: Iterable[Policy] = ()) -> None:
        self._by_name: dict[str, Policy] = {}
        self._by_place: dict[tuple[str, str], Policy] = {}
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

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

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
            remedy="write a policy whose spec.match names them, or name one: data.policy of an event, --policy",
        )
