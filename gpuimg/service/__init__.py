"""The HTTP service behind `gpuimg serve`."""
