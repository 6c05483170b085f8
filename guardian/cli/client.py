"""A client of the daemon's HTTP API. Answers are plain JSON; problems become the errors they were.

Every request may be repeated without a second effect (events and orders carry their identity), so what did not
arrive is tried again for a moment; following a rollout goes on for as long as the caller says.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Self

import httpx
import msgspec
import stamina

from guardian.core.model import Phase
from guardian.errors import (
    AdapterError,
    CommandError,
    EventError,
    Forbidden,
    GuardianError,
    PolicyError,
    Refused,
    Unavailable,
    UnknownRollout,
)

TIMEOUT: Final = 10.0
"""Seconds for one answer; a gate measures first."""
ATTEMPTS: Final = 4
STRUCTURED: Final = "application/cloudevents+json"
Json = dict[str, Any]
Query = Mapping[str, str | int | Sequence[str]]


class Client:
    """Speaks to one daemon. Use it as a context manager. url: such as http://127.0.0.1:8080."""

    def __init__(self, url: str, *, token: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"User-Agent": "guardian-cli"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=TIMEOUT, transport=transport, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def rollouts(
        self, *, service: str = "", environment: str = "", region: str = "", phases: Sequence[str] = (),
        only_open: bool = False, limit: int = 100,
    ) -> list[Json]:  # fmt: skip
        """Return rollouts, newest first."""
        query: dict[str, str | int | Sequence[str]] = {"limit": limit}
        named: dict[str, str | Sequence[str]] = {
            "service": service, "environment": environment, "region": region, "phase": phases,
            "open": "true" if only_open else "",
        }  # fmt: skip
        query.update({name: value for name, value in named.items() if value})
        items: list[Json] = self._get("/v1/rollouts", query)["items"]
        return items

    def rollout(self, rollout: str) -> Json:
        """Return one rollout. Raises UnknownRollout."""
        return self._get(f"/v1/rollouts/{rollout}")

    def once(self, rollout: str) -> Json:
        """Return one rollout, asked once: for callers that go on asking by themselves."""
        return self._ask("GET", f"/v1/rollouts/{rollout}")

    def explanation(self, rollout: str) -> Json:
        """Return why the rollout is where it is."""
        return self._get(f"/v1/rollouts/{rollout}/explanation")

    def find(self, name: str) -> Json:
        """Return the rollout of that id, the one that is meant by a service's name, or that of an id that begins so.

        A service's name means its open rollout, else its newest; in several places it is ambiguous, unless nothing
        ever started in all but one.
        """
        try:
            return self.rollout(name)
        except UnknownRollout as error:
            known = self.rollouts(limit=1000)  # newest first
            meant = _of_service(known, name) or [one for one in known if str(one["id"]).startswith(name)]
            if len(meant) == 1:
                return meant[0]
            if meant:
                ids = ", ".join(f"{one['id']} ({one['environment']}, {one['phase']})" for one in meant[:5])
                remedy = "write the id of the one that is meant, or more of it"
                raise UnknownRollout(f"'{name}' may be any of {ids}", remedy=remedy) from None
            raise UnknownRollout(error.what, where=error.where, remedy="`guardian list` shows them") from None

    def order(self, rollout: str, order: str, *, reason: str, who: str, policy: str = "") -> Json:
        """Give an order. Raises CommandError when it cannot be carried out now."""
        body = {"reason": reason, "who": who, "policy": policy}
        return self._post(f"/v1/rollouts/{rollout}/{order}", body, {"Idempotency-Key": uuid.uuid4().hex})

    def send(self, event: Json) -> Json:
        """Send a CloudEvent; its id makes a repeat harmless."""
        return self._post("/v1/events", event, {"Content-Type": STRUCTURED})

    def gate(self, question: Json) -> Json:
        """Ask whether a service's guardrails hold now."""
        return self._post("/v1/gate", question, {})

    def ready(self) -> Json:
        """Return whether the daemon takes events, and what is wrong with it."""
        answer: Json = msgspec.json.decode(self._response("GET", "/readyz", None, None, None).content)
        return answer

    def _get(self, path: str, query: Query | None = None) -> Json:
        for attempt in _patience():
            with attempt:
                return self._ask("GET", path, query)
        raise AssertionError  # pragma: no cover  stamina raises the last error

    def _post(self, path: str, body: Json, headers: Mapping[str, str]) -> Json:
        for attempt in _patience():
            with attempt:
                return self._ask("POST", path, None, msgspec.json.encode(body), headers)
        raise AssertionError  # pragma: no cover

    def _ask(
        self, method: str, path: str, query: Query | None = None, body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:  # fmt: skip
        response = self._response(method, path, query, body, headers)
        if response.is_success:
            try:
                answer: Json = msgspec.json.decode(response.content)
            except msgspec.DecodeError:
                raise self._foreign(response) from None
            return answer
        raise self._problem(response)

    def _response(
        self, method: str, path: str, query: Query | None, body: bytes | None, headers: Mapping[str, str] | None
    ) -> httpx.Response:
        typed = {"Content-Type": "application/json", **(headers or {})} if body is not None else dict(headers or {})
        params: Any = {
            name: list(value) if isinstance(value, tuple) else value for name, value in (query or {}).items()
        }
        try:
            return self._http.request(method, path, params=params, content=body, headers=typed)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unavailable(
                f"no answer: {str(error) or type(error).__name__}",
                where=self.url,
                remedy="start the daemon with `guardian run`, or name it with --server",
            ) from error

    def _problem(self, response: httpx.Response) -> GuardianError:
        try:
            problem = msgspec.json.decode(response.content, type=dict[str, Any])
        except msgspec.MsgspecError:
            return self._foreign(response)
        kind = _ERRORS.get(response.status_code, Unavailable if response.status_code >= 500 else Refused)
        what, remedy = str(problem.get("detail", response.reason_phrase)), str(problem.get("remedy", ""))
        return kind(what, where=str(problem.get("where", "")), remedy=remedy)

    def _foreign(self, response: httpx.Response) -> AdapterError:
        what = f"answered {response.status_code} and no JSON: this is no guardian"
        kind = Unavailable if response.status_code >= 500 else Refused
        return kind(what, where=f"{self.url}{response.request.url.path}", remedy="check --server")


_ERRORS: Final[dict[int, type[GuardianError]]] = {
    HTTPStatus.BAD_REQUEST: EventError,
    HTTPStatus.UNAUTHORIZED: Forbidden,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: UnknownRollout,
    HTTPStatus.CONFLICT: CommandError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: EventError,
    HTTPStatus.UNPROCESSABLE_ENTITY: PolicyError,
}


def _of_service(newest_first: Sequence[Json], service: str) -> list[Json]:
    """Return what a service's name may mean: its open rollouts, else the newest of each of its places.

    Places where all was rejected (an environment misspelt) count only when there is no other.
    """
    mine = [one for one in newest_first if one["service"] == service]
    latest = {_place(one): one for one in reversed(mine)}
    started = {_place(one) for one in mine if one["phase"] != Phase.REJECTED}
    real = [one for place, one in latest.items() if place in started]
    return [one for one in mine if not one["ended_at"]] or real or list(latest.values())


def _place(rollout: Json) -> tuple[str, str]:
    return rollout["environment"], rollout["region"]


def _patience() -> Any:
    """Return a few tries within a few seconds: enough for a daemon that is being restarted."""
    return stamina.retry_context(on=Unavailable, attempts=ATTEMPTS, wait_initial=0.2, wait_max=2.0, timeout=15.0)
