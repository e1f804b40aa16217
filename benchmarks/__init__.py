"""Measurements, run by hand: nothing here is part of what is installed."""
