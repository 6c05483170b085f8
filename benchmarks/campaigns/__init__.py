"""One file per campaign, each exposing `CAMPAIGN`; see CONTRIBUTING.md for how to add one.

Finds campaigns by name and does not run them.
"""

import importlib
import pkgutil

from benchmarks.cells import Campaign


def names() -> tuple[str, ...]:
    """Names of all campaigns, sorted: the files in this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Campaign:
    """The campaign of that name. Raises LookupError that lists the names there are."""
    if name not in names():
        raise LookupError(f"no campaign {name!r}; there are: {', '.join(names()) or 'none yet'}")
    campaign = importlib.import_module(f"{__name__}.{name}").CAMPAIGN
    if not isinstance(campaign, Campaign) or campaign.name != name:
        raise LookupError(f"benchmarks/campaigns/{name}.py: CAMPAIGN must be a Campaign named {name!r}")
    return campaign
