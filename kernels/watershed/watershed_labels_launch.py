"""Sweeps over all tiles; see `water_launch`."""

from gpuimg.kernels.watershed.water_launch import sweep


def launch(gpu, src, dst, top, bottom, markers, levels, lengths, step, connectivity, changed):
    sweep(
        gpu,
        "watershed_labels",
        levels.dtype,
        dst,
        step,
        changed,
        (markers, levels, lengths, step, connectivity, changed),
    )
