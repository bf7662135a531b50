"""Minima and maxima over windows and footprints."""
