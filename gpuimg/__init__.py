"""Image filters that run as CUDA kernels, on all cores or on one, and give the same pixels everywhere."""

__version__ = "0.1.0"
