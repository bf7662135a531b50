"""An instance for each type of the image and of the coordinates."""


def launch(gpu, src, dst, top, bottom, step, rows, cols, mode, fill_value):
    instance = f"remap_nearest<{gpu.ctype(src.dtype)}, {gpu.ctype(cols.dtype)}>"
    gpu.fill_rows("remap_nearest", instance, src, dst, top, bottom, step, rows, cols, mode, fill_value)
