"""One HTTP question to a service: does it answer as it should? Raises with what it got when not.

Options: `url` (template), `paths` (a list, default: the URL alone), `status` (default 200), `contains`
(template, a text the body must hold), `headers`, `timeout` (seconds, default 5). Templates know {service},
{environment}, {region} and {revision}: `contains: '{revision}'` on /version checks that the new revision is
what answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from guardian.adapters import _options
from guardian.adapters._http import Answer, HttpClient
from guardian.core.model import Revision
from guardian.errors import Refused
from guardian.ports import Target

OPTIONS: Final = ("url", "paths", "status", "contains", "headers", "timeout")
LIMIT: Final = 1024 * 1024


def urls_of(target: Target, values: Mapping[str, str]) -> list[str]:
    """Return the addresses to ask. Raises Refused."""
    base = _options.filled(_options.text(target, "url"), values, where=str(target.place))
    if "paths" not in target.options:
        return [base]
    paths = _options.texts(target, "paths", "/")
    return [base.rstrip("/") + "/" + path.lstrip("/") for path in paths]


def judged(answer: Answer, *, status: int, contains: str, where: str) -> None:
    """Raise Refused, with what came, unless the answer is the one wanted."""
    if answer.status != status:
        raise Refused(
            f"answered {answer.status}, not {status}: {answer.excerpt}", where=where, remedy="see the service's log"
        )
    if contains and contains not in answer.body.decode("utf-8", "replace"):
        raise Refused(
            f"the answer does not hold {contains!r}: {answer.excerpt}",
            where=where,
            remedy="check that the new revision is what answers there",
        )


class HttpProbe:
    """Probe by HTTP GET. Raises Unavailable when there is no answer in time."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def probe(self, target: Target, revision: Revision) -> None:
        """Ask every address once. See Probe."""
        _options.allowed(target, OPTIONS, kind="probe http")
        place = target.place
        values = {
            "service": place.service, "environment": place.environment, "region": place.region, "revision": revision,
        }  # fmt: skip
        contains = str(target.options.get("contains", ""))
        if contains:
            contains = _options.filled(contains, values, where=str(place))
        for url in urls_of(target, values):
            answer = await self._client.ask(
                "GET", url, headers=_options.mapping(target, "headers"), limit=LIMIT,
                timeout=_options.number(target, "timeout", 5.0),
            )  # fmt: skip
            judged(answer, status=int(_options.number(target, "status", 200)), contains=contains, where=url)
