"""Values of one image where a condition holds, those of another elsewhere."""

from gpuimg.kernels.lib.borders import kernel


@kernel
def fill(src, dst, top, bottom, channels, first, second):
    """``channels`` is how many values each one of the condition is for."""
    for row in range(top, bottom):
        if channels == 1:
            choose(src[row], first[row], second[row], dst[row])
        elif channels == 3:
            choose_pixels(src[row], first[row], second[row], dst[row], 3)
        else:
            choose_pixels(src[row], first[row], second[row], dst[row], channels)


@kernel
def choose(condition, first, second, out):
    for x in range(out.size):
        a, b = first[x], second[x]  # both are loaded, so that the loop is vectorised
        out[x] = a if condition[x] != 0 else b


@kernel
def choose_pixels(condition, first, second, out, channels):
    for pixel in range(condition.size):
        holds = condition[pixel] != 0
        for x in range(pixel * channels, (pixel + 1) * channels):
            a, b = first[x], second[x]
            out[x] = a if holds else b
