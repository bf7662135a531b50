"""Sweeps over all tiles; see `water_launch`."""

from gpuimg.kernels.watershed.water_launch import sweep


def launch(gpu, src, dst, top, bottom, image, markers, levels, step, connectivity, changed):
    sweep(
        gpu,
        "watershed_lengths",
        levels.dtype,
        dst,
        step,
        changed,
        (image, markers, levels, step, connectivity, changed),
    )
