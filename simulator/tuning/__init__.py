"""The search for a better policy: what may change, how candidates are tried, and which is recommended."""
