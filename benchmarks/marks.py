"""Parts of a document that are made from result files, between marks that say where each begins and ends."""

import re
from collections.abc import Mapping


def with_parts(text: str, parts: Mapping[str, str], *, document: str) -> str:
    """The text with each part made anew. parts: name of the mark -> what stands there. document: what errors call it.

    Raises LookupError for a part that has no marks.
    """
    for name, part in parts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise LookupError(f"{document} needs {begin} and {end} once each")
        fresh = f"{begin}\n{part}{end}"
        text = pattern.sub(lambda _, fresh=fresh: fresh, text)  # type: ignore[misc]  # a default holds the loop's value
    return text
