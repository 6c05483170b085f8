"""The composition root: settings to objects, and the life of one daemon from start to stop."""

from guardian.app.serve import Platform, serve
from guardian.runtime.clock import FastClock
from guardian.runtime.equipment import Equipment
from guardian.runtime.logs import configure_logs

__all__ = ["Equipment", "FastClock", "Platform", "configure_logs", "serve"]
