"""How the columns of a table share a terminal: no word is broken. Knows widths and texts, prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

GAP: Final = 2
"""Characters between two columns."""
INDENT: Final = 4
"""Characters before a last column that hangs below its row."""


def widths(columns: Sequence[str], rows: Sequence[Sequence[object]], *, room: int) -> list[int] | None:
    """Return one width a column, in characters; None when `room` is too narrow for the longest words.

    >>> widths(("step", "now"), [("1/3", "held: no data")], room=14)
    [4, 8]
    >>> widths(("step", "now"), [("1/3", "held: no data")], room=9)
    """
    texts = [[column, *(str(row[number]) for row in rows)] for number, column in enumerate(columns)]
    least = [max((len(word) for text in each for word in text.split()), default=0) for each in texts]
    full = [max((len(line) for text in each for line in text.splitlines()), default=0) for each in texts]
    left = room - GAP * (len(columns) - 1) - sum(least)
    if left < 0:
        return None
    found = list(least)
    wanting = sorted(range(len(full)), key=lambda at: full[at] - least[at])
    for taken, number in enumerate(wanting):  # short columns stay on one line, long ones share alike
        more = min(left // (len(wanting) - taken), full[number] - least[number])
        found[number] += more
        left -= more
    return found
