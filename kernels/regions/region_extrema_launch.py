"""Extrema by strips of columns, by channel."""

from gpuimg.kernels.regions.strips_launch import launch_strips


def launch(gpu, src, dst, top, bottom, labels, intensity, step, height):
    launch_strips(gpu, f"region_extrema<{gpu.ctype(intensity.dtype)}>", dst, labels, intensity, step, step=step)
