"""How often healthy releases are rolled back on gauges, in every noise family. Does not measure delay."""

from benchmarks.detection.healthy import campaign

CAMPAIGN = campaign("gauges", on="a gauge", slice_runs=20)
