"""Corners."""
