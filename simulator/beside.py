"""Another service in the same file, with a rollout of its own: which of two that overlap is to blame."""

from __future__ import annotations

from pydantic import model_validator

from guardian.config.findings import complaint
from guardian.core.model import Change, Driver, Revision
from simulator.calls import Call
from simulator.faults import ServiceFault
from simulator.service import Service
from simulator.traffic import Traffic
from simulator.units import Moment, Part, Portion


class Deploy(Part):
    """What goes out, and who carries it out.

    weight: somebody else sends this share to the canary at once, and takes it away when the guardian says roll back.
    irreversible: going back would do harm of its own, as after a migration.
    """

    previous: Revision = Revision("1.0.0")
    revision: Revision = Revision("1.1.0")
    driver: Driver = Driver.GUARDIAN
    change: Change = Change.IMAGE
    irreversible: bool = False
    weight: Portion | None = None

    @model_validator(mode="after")
    def _one_moves_it(self) -> Deploy:
        if self.weight is not None and self.driver is Driver.GUARDIAN:
            raise complaint("the guardian sets weights by its policy's steps", "write `driver: other`", at=("weight",))
        return self


class Beside(Part):
    """Another service. at: when its deploy event comes, after that of the scenario's own. calls: the scenario's."""

    service: Service
    traffic: Traffic
    deploy: Deploy = Deploy()
    at: Moment = 0.0
    faults: tuple[ServiceFault, ...] = ()
    calls: Call | None = None
