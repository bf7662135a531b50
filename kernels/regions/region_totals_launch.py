"""Totals by strips of columns, by channel."""

from gpuimg.kernels.regions.strips_launch import launch_strips


def launch(gpu, src, dst, top, bottom, labels, intensity, extrema, step, height):
    launch_strips(gpu, f"region_totals<{gpu.ctype(intensity.dtype)}>", dst, labels, intensity, extrema, step, step=step)
