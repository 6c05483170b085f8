"""A real HTTP service for tests: one process per pod; errors and latency can be changed while it runs."""
