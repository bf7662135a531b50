"""A separate kernel if only the order of rows changes, or none."""


def launch(gpu, src, dst, top, bottom, step, vertical, horizontal):
    kind = gpu.ctype(src.dtype)
    if horizontal:
        gpu.fill_rows("flip", f"flip<{kind}, {kind}>", src, dst, top, bottom, step, vertical)
    else:
        gpu.fill_rows("flip", f"flip_rows<{kind}, {kind}>", src, dst, top, bottom, vertical)
