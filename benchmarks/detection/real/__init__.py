"""The same rules on real measurements, which are not in the repository: where to find them is told at run time."""
