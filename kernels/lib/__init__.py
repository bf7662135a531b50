"""Shared code of kernels: borders, vectors, rows, reductions, runs of pixels, and loops that call other kernels."""
