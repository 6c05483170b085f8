"""`affinity`: users stick to the track they were given, so their requests are no independent draws."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from guardian.config.fields import Duration, Section, ShareField
from guardian.config.findings import complaint
from guardian.core.model import Ratio, Seconds
from guardian.core.policy import Affinity


class AffinityConfig(Section):
    """Users stick to a track: what a user does there, on average; docs/statistics.md says what follows."""

    requests: float = Field(
        ge=1, le=1e9, allow_inf_nan=False, description="mean number that a user makes while it stays on its track"
    )
    session: Duration = Field(
        le=30 * 86400.0,
        description="how long a user stays on its track: so long the share may lag behind a new weight; 0s where "
        "a new weight moves users at once",
    )
    visit: Duration | None = Field(
        None, gt=0, description="time over which these requests lie; default: the session, shorter where a cookie lasts"
    )
    variation: float = Field(
        2.0,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="how much users differ: sd of their number of requests over its mean; 2 is a heavy tail",
    )
    correlation: ShareField = Field(
        0.1,
        ge=0,
        le=1,
        description="how alike a user's requests are: of the others of a user who had a failure, the share that "
        "fails beyond what is usual (intraclass correlation)",
    )

    @model_validator(mode="after")
    def _lies_somewhere(self) -> Self:
        if self.session == 0 and self.visit is None:
            what = "a session of 0s does not say over which time a user's requests lie"
            raise complaint(what, "add visit: 30m, or how long a user usually stays", at=("session",))
        return self

    def to_core(self) -> Affinity:
        """Return it as the core reads it."""
        return Affinity(
            requests=self.requests,
            session=Seconds(self.session),
            visit=Seconds(self.session if self.visit is None else self.visit),
            variation=self.variation,
            correlation=Ratio(self.correlation),
        )


def _not_empty(value: object) -> object:
    if value is None:
        raise complaint("is empty", "write {requests: 30, session: 30m} with numbers of yours, or remove the key")
    return value


AffinityField = Annotated[AffinityConfig | None, BeforeValidator(_not_empty)]
"""AffinityConfig, or None where the key was left out."""
