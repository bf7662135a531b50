"""Slabs of rows, each linked by a warp; see `links`."""

from gpuimg.kernels.canny.links_launch import link


def launch(gpu, src, dst, top, bottom, step, height, reach):
    link(gpu, "edge_links", src, dst, top, bottom, step, height, reach)
