"""Measurements of labelled regions, and filters of labels."""
