"""What a gate of another kind is to the simulator: it looks at the same telemetry as the guardian, and may go back.

A gate knows no evidence and no policy but the steps; walk.py moves the traffic for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from simulator.gates.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a gate makes of one moment. back: why it rolls back, "" if it does not.

    lost: seconds that do not count for the step it stands on, inf where it waits for a person.
    """

    back: str = ""
    lost: float = 0.0


GO_ON = Look()


class Gate(Protocol):
    """One rule, with the state of one run.

    name: in tables. says: its thresholds, in a sentence. alerts: whether a critical alert makes it roll back.
    """

    name: ClassVar[str]
    says: ClassVar[str]
    alerts: ClassVar[bool]

    def look(self, view: View, t: float) -> Look:
        """Look once; asked every `walk.TICK` seconds, t seconds after the traffic shift."""
        ...

    def last(self, view: View, t: float) -> str:
        """Return why it rolls back though all steps are over, "" if it promotes."""
        ...
