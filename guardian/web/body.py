"""Reading a request's body without letting it grow beyond its limit."""

from __future__ import annotations

from fastapi import Request

from guardian.errors import EventTooLarge


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the body. Raises EventTooLarge as soon as it is known to be over the limit."""
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        if int(length) > limit:
            raise _too_large(int(length), limit)
        return await request.body()
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_large(size, limit)
        parts.append(part)
    return b"".join(parts)


def _too_large(size: int, limit: int) -> EventTooLarge:
    return EventTooLarge(
        f"the body has {size} bytes or more; {limit} are allowed",
        reason="too-large",
        remedy="send it in smaller parts, or raise 'limits' in guardian.yaml",
    )
