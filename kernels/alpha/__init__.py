"""Conversions between colour spaces, a pixel at a time."""
