"""Intensities: look-up tables, histograms and conversions of dtypes."""
