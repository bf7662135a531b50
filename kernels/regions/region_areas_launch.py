"""Areas by strips of columns; for few regions in shared memory."""

from gpuimg.kernels.regions.strips_launch import launch_strips

THREADS, PIXELS = 256, 64  # minimum pixels of a thread, if the image has enough
FEW = 8192  # as in counting.cuh


def launch(gpu, src, dst, top, bottom, labels, height):
    if dst.shape[0] > FEW:
        launch_strips(gpu, "region_areas<int>", dst, labels)
        return
    blocks = min(-(-labels.shape[0] * labels.shape[1] // (THREADS * PIXELS)), 4 * gpu.multiprocessors)
    gpu.kernel("region_areas", "few_areas<int>")((max(blocks, 1), 1), (THREADS, 1), (dst, labels))
