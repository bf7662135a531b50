"""Sweeps over all tiles; see `water_launch`."""

from gpuimg.kernels.watershed.water_launch import sweep


def launch(gpu, src, dst, top, bottom, image, markers, step, connectivity, changed):
    sweep(gpu, "watershed_levels", src.dtype, dst, step, changed, (image, markers, step, connectivity, changed))
