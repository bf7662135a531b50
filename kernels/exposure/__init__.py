"""Intensities: look-up tables, histograms and dtype conversions."""
