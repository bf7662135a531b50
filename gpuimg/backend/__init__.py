"""Where graphs run: one small class a backend, one interface (see `gpuimg.backend.base`)."""
