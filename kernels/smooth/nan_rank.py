"""A percentile of the window around a pixel, ignoring NaN: of n numbers the one with ``int(n * percentile / 100)``
others before it, the last one for 100; with ``halves`` the mean of it and the previous one if n is even, so that
percentile 50 is the median. NaN where there is no number. By `ranks`."""

from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.smooth.ranks import select_by_ranks

select = kernel(select_by_ranks)


@kernel
def fill(src, dst, top, bottom, stop, step, mode, cval, n0, n1, percentile, halves):
    select(src, dst, top, bottom, stop, step, mode, cval, n0, n1, (percentile, halves))
