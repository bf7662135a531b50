"""Begins all channels at once; `gpuimg.kernels.watershed` says how it goes on."""


def launch(gpu, src, dst, top, bottom, markers, step, connectivity, levels, lengths, waiting):
    args = markers, step, connectivity, levels, lengths, waiting
    gpu.fill_rows("watershed", f"watershed<{gpu.ctype(src.dtype)}>", src, dst, 0, src.shape[0], *args)
