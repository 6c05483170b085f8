"""Metric selectors as policies name them: `name{label="value"}`. Raw series only, never an expression."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

from guardian.config.findings import complaint

_QUOTED: Final = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"""
_MATCHER: Final = rf"[A-Za-z_]\w*\s*(?:=~|!~|!=|=)\s*{_QUOTED}"
_MATCHERS: Final = rf"\{{\s*(?:{_MATCHER}\s*(?:,\s*{_MATCHER}\s*)*,?\s*)?\}}"
_SELECTOR: Final = re.compile(rf"[A-Za-z_:][\w:]*\s*(?:{_MATCHERS})?|{_MATCHERS}")
_CALL: Final = re.compile(r"[A-Za-z_]\w*\s*\(|\[|[-+*/]\s|\bby\b")


def _selector(value: object) -> str:
    remedy = """write name or name{label="value", other=~"regex"}"""
    if not isinstance(value, str) or not value.strip():
        raise complaint(f"{value!r} is not a metric selector", remedy)
    text = value.strip()
    if _SELECTOR.fullmatch(text):
        return text
    if _CALL.search(re.sub(_QUOTED, "", text)):
        what = f"{text!r} is an expression"
        raise complaint(what, "name the raw counter or gauge: the guardian takes differences and sums itself")
    raise complaint(f"{text!r} is not a metric selector", remedy)


_SCHEMA: Final = {"type": "string", "examples": ['http_requests_total{status=~"5.."}']}
Selector = Annotated[str, BeforeValidator(_selector), WithJsonSchema(_SCHEMA)]
