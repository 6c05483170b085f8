"""Measurements of the product: how often it is right (campaigns) and how fast it is (speed).

Nothing here is part of an installed wheel.
"""
