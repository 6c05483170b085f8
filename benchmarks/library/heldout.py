"""The third of the library that nobody may tune on: defaults and constants are changed by what the rest shows.

Drawn once, without replacement, from the names there were on 2026-11-22, when the library had grown from 23 to 50
scenarios and before any default was changed for the new ones; never drawn anew. Those that came to the library before
had been looked at while defaults were chosen, and are marked so in the results.
"""

from __future__ import annotations

import random
from typing import Final

NAMES: Final = (
    "S01", "S02", "S03", "S04", "S05", "S06", "S07", "S08", "S10", "S11", "S12", "S13", "S14a", "S14b", "S15", "S17",
    "S18", "S19", "S20", "S21", "S23", "S25", "S26a", "S26b", "S26c", "S27", "S28", "S29", "S31", "S32a", "S32b", "S33",
    "S34", "S35a", "S35b", "S36", "S37a", "S37b", "S41a", "S41b", "S42", "S43", "S44", "S50", "S51", "S52", "S53",
    "S54", "S55", "S56",
)  # fmt: skip
"""What it was drawn from."""
SEED: Final = 20261122
HELD_OUT: Final = frozenset(random.Random(SEED).sample(NAMES, len(NAMES) // 3))  # noqa: S311 - no secret
"""Names of the scenarios that are held out."""
SEEN_BEFORE: Final = frozenset(
    {
        "S01", "S02", "S05", "S06", "S07", "S08", "S11", "S12", "S13", "S15", "S17", "S18", "S21", "S26a", "S26b",
        "S26c", "S29", "S33", "S36", "S37a", "S37b", "S41a", "S41b",
    }
)  # fmt: skip
"""Names that were in the library while defaults were chosen."""
