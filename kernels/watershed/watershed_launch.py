"""Initialises all channels at once; see `gpuimg.kernels.watershed` for the further steps."""


def launch(gpu, src, dst, top, bottom, markers, step, connectivity, levels, lengths, waiting):
    args = markers, step, connectivity, levels, lengths, waiting
    gpu.fill_rows("watershed", f"watershed<{gpu.ctype(src.dtype)}>", src, dst, 0, src.shape[0], *args)
