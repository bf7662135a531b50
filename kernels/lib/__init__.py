"""What kernels share: borders, vectors, rows, reductions, runs of pixels, and the loops that call other kernels."""
