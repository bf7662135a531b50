"""Sums of coordinates by strips of columns."""

from gpuimg.kernels.regions.strips_launch import launch_strips


def launch(gpu, src, dst, top, bottom, labels, height):
    launch_strips(gpu, "region_sums<int>", dst, labels)
