"""What a channel of Slack is shown of a notice."""

from __future__ import annotations

import json
from typing import Any

from guardian.adapters.notify.slack import REPEATED, message
from tests.adapters.notices import notice


def blocks(**changes: Any) -> list[dict[str, Any]]:
    """The blocks of a message."""
    found: list[dict[str, Any]] = message(notice(**changes))["blocks"]
    return found


def test_a_message_has_a_headline_the_reason_the_facts_and_a_link() -> None:
    """In the order that somebody who is in a hurry reads."""
    headline, reason, facts, link, key = blocks()
    assert headline["text"]["text"] == "paged: checkout 2.1.0 in production"
    assert reason["text"]["text"].startswith("no metrics of the canary")
    assert [field["text"] for field in facts["fields"]] == ["*state*\nphase progressing", "*guardrail*\nerrors"]
    assert link["text"]["text"] == f"<{notice().link}|Open the rollout>"
    assert key["elements"][0]["text"] == "checkout-9907d8c65a/7"


def test_without_a_console_there_is_no_link() -> None:
    """A button that leads nowhere is worse than none."""
    assert [block["type"] for block in blocks(link="")] == ["header", "section", "section", "context"]


def test_nothing_that_events_say_can_call_a_whole_channel() -> None:
    """Slack reads <!channel> in marked-up text; reasons are plain, facts are escaped."""
    _, reason, facts, *_ = blocks(facts={"cause": "<!channel> & all"})
    assert reason["text"]["type"] == "plain_text"
    assert facts["fields"][0]["text"] == "*cause*\n&lt;!channel&gt; &amp; all"
    assert message(notice(summary="<!here>"))["text"] == "&lt;!here&gt;"


def test_a_message_that_may_have_been_told_before_says_so() -> None:
    """Slack has no key by which it could drop a repeat."""
    assert REPEATED in blocks(repeated=True)[-1]["elements"][0]["text"]
    assert REPEATED not in json.dumps(blocks())
