"""Where passes run: one small class a backend, one interface (see `gpuimg.backends.base`)."""
