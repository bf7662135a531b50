"""Smoothing and rank filters."""
