"""A webhook receiver for tests: keeps every body it was sent, answers what it is told to.

For what posts to the outside (Alertmanager, notices to chat and pagers). It checks no signature and knows
no format.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from simulator.testing.errors import ServiceError

PATIENCE: Final = 20.0
"""Seconds that `WebhookSink.wait_for` waits by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One request as it came; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class WebhookSink:
    """Receiver on a free port. `answer_with(503, 503)` refuses the next two posts, then answers 200 again."""

    def __init__(self) -> None:
        self._posts: list[Post] = []
        self._answers: list[int] = []
        self._news = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    @property
    def posts(self) -> list[Post]:
        """Everything that came so far, refused posts included, in order."""
        with self._news:
            return list(self._posts)

    def answer_with(self, *statuses: int) -> None:
        """Status codes for the next posts, one each."""
        with self._news:
            self._answers.extend(statuses)

    def wait_for(self, count: int, *, deadline: float = PATIENCE) -> list[Post]:
        """All posts once there are `count`; ServiceError when they do not come within the deadline (s)."""
        with self._news:
            if not self._news.wait_for(lambda: len(self._posts) >= count, deadline):
                raise ServiceError(
                    f"{len(self._posts)} of {count} posts came within {deadline:g} s",
                    where=self.url,
                    remedy="look at the sender's log",
                )
            return list(self._posts)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, post: Post) -> int:
        with self._news:
            self._posts.append(post)
            self._news.notify_all()
            return self._answers.pop(0) if self._answers else 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(take(Post(path=self.path, headers=headers, body=body)))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
                """Say nothing: the posts are kept."""

        return Handler


@contextmanager
def running_sink() -> Iterator[WebhookSink]:
    """Receiver until the block ends."""
    sink = WebhookSink()
    sink.start()
    try:
        yield sink
    finally:
        sink.close()
