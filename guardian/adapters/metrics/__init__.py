"""Sources of measurements."""
