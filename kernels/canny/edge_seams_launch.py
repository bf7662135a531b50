"""Groups of slabs, each linked by a warp across its seams; see `links`."""

from gpuimg.kernels.canny.links_launch import link


def launch(gpu, src, dst, top, bottom, step, height, span, group, reach):
    link(gpu, "edge_seams", src, dst, top, bottom, step, height, span, group, reach)
