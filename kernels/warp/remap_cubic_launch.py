"""An instance for each type of the image and of the coordinates."""


def launch(gpu, src, dst, top, bottom, step, rows, cols, mode, cval):
    instance = f"remap_cubic<{gpu.ctype(src.dtype)}, {gpu.ctype(cols.dtype)}>"
    gpu.fill_rows("remap_cubic", instance, src, dst, top, bottom, step, rows, cols, mode, cval)
