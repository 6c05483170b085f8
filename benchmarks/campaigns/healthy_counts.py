"""How often healthy releases are rolled back on counts without a denominator. Does not measure delay."""

from benchmarks.detection.healthy import campaign

CAMPAIGN = campaign("counts", on="a count, too high or low,", slice_runs=20)
