"""How often healthy releases are rolled back on errors, in every noise family. Does not measure delay."""

from benchmarks.detection.healthy import campaign

CAMPAIGN = campaign("errors", slice_runs=60)
