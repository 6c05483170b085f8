"""Do simulated streams vary as measured ones do: the same statistics of both, side by side."""
