"""Notices as messages of a Slack channel, by an incoming webhook: one headline, the reason, the facts, a link.

Slack has no key for a message, so one that may have been told before says so. Source: Block Kit reference; its limits
are checked by slack-sdk.
"""

from __future__ import annotations

from typing import Any, Final

from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from guardian.adapters._http import HttpClient, Secret, told
from guardian.adapters._post import address_parts, post
from guardian.ports import Notice

REPEATED: Final = "This may have been told before"
_FIELD: Final = 2000
"""Characters of one field of a section, the label included; more is refused by Slack."""


class SlackNotifier:
    """Notifier by incoming webhook. url: the webhook's address, which is a secret; read at each use."""

    def __init__(self, client: HttpClient, *, url: Secret, name: str = "slack") -> None:
        self._client, self._url, self._name = client, url, name

    async def notify(self, notice: Notice) -> None:
        """Send the notice. Raises Unavailable (429 with Slack's Retry-After) or Refused. See Notifier."""
        url = told(self._url)
        await post(self._client, url, message(notice), name=self._name, secrets=address_parts(url))


def message(notice: Notice) -> dict[str, Any]:
    """Return the JSON of a message; `text` is what notifications and screen readers show of it."""
    facts = list(notice.facts.items())[: SectionBlock.fields_max_length]
    blocks: list[Block] = [
        HeaderBlock(text=_plain(notice.summary, HeaderBlock.text_max_length)),
        SectionBlock(text=_plain(notice.reason or notice.summary, SectionBlock.text_max_length)),
    ]
    if facts:
        blocks.append(SectionBlock(fields=[_fact(name, value) for name, value in facts]))
    if notice.link:
        blocks.append(SectionBlock(text=MarkdownTextObject(text=f"<{_escaped(notice.link)}|Open the rollout>")))
    told_before = f"{REPEATED}: {notice.dedup}" if notice.repeated else notice.dedup
    blocks.append(ContextBlock(elements=[_plain(told_before, _FIELD)]))
    return {"text": _escaped(notice.summary), "blocks": [block.to_dict() for block in blocks], "unfurl_links": False}


def _plain(text: str, most: int) -> PlainTextObject:
    """Return a text that is shown as it is: names and reasons come from events and alerts."""
    return PlainTextObject(text=_cut(text, most), emoji=False)


def _fact(name: str, value: str) -> MarkdownTextObject:
    return MarkdownTextObject(text=_cut(f"*{_escaped(name)}*\n{_escaped(value)}", _FIELD))


def _escaped(text: str) -> str:
    """Return a text without Slack's control characters, which could mention everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
