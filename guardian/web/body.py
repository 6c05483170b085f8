"""Reading a request's body without letting it grow beyond its limit."""

from __future__ import annotations

from fastapi import Request

from guardian.errors import EventTooLarge


async def read_body(request: Request, *, limit: int, setting: str = "limits.body") -> bytes:
    """Return the body. Raises EventTooLarge, naming the setting, as soon as it is known to be over the limit."""
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        if int(length) > limit:
            raise _too_large(int(length), limit, setting)
        return await request.body()
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_large(size, limit, setting)
        parts.append(part)
    return b"".join(parts)


def _too_large(size: int, limit: int, setting: str) -> EventTooLarge:
    return EventTooLarge(
        f"the body has {size} bytes or more; {limit} are allowed",
        reason="too-large",
        remedy=f"send it in smaller parts, or raise {setting} in guardian.yaml",
    )
