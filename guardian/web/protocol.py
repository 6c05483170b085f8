"""HTTP/1.1 as uvicorn reads it, with a bound on the head of a request: read before any token is asked for."""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD: Final = 64 * 1024
"""Bytes of request line and headers; what is beyond is answered 400 and cut off."""


class BoundedProtocol(HttpToolsProtocol):
    """Counts what came since a request began, until its headers are complete; trailers are dropped."""

    _head = 0
    _in_body = False

    def data_received(self, data: bytes) -> None:
        """Take bytes of the connection."""
        if not self._in_body:
            self._head += len(data)
        super().data_received(data)
        if self._head > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"request line and headers are over {MOST_HEAD} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer; what comes now is the body."""
        self._head, self._in_body = 0, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next request."""
        self._head, self._in_body = 0, False
        super().on_message_complete()
