"""The one error of this package: a real service that a test needs cannot be had, or did not work."""

from __future__ import annotations

from guardian.errors import GuardianError


class ServiceError(GuardianError):
    """A service is missing, did not start, or ended by itself. Never a reason to skip a test."""
