"""How often healthy releases are rolled back on latency, in every noise family. Does not measure delay."""

from benchmarks.detection.healthy import campaign

CAMPAIGN = campaign("latency", slice_runs=20, chunk=250)
