"""The composition root: settings to objects, and the life of one daemon from start to stop."""

from guardian.app.serve import Platform, serve

__all__ = ["Platform", "serve"]
