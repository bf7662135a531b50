"""Corners and local maxima."""
