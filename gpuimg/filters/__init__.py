"""The public filters, a family per file.

Every filter checks its arguments; its plan describes the computation, and `gpuimg.run.run` runs it. Parameters that
filters share:

backend : {None, "auto", "cuda", "multicore", "processes", "single"}
    Where to run. None: what `gpuimg.use_backend` or the variable ``GPUIMG_BACKEND`` says, otherwise "auto", the minimum
    predicted time on this machine. A backend requested by name runs there or raises `gpuimg.BackendUnavailable`.
out : ndarray
    Array for the result, of its shape and dtype, with any memory layout; it may overlap the image. It is returned.
    A filter that returns several images takes a tuple of arrays, none of which may overlap another.
mode : {"reflect", "nearest", "mirror", "wrap", "constant"}
    Extension of the image beyond its border, as in SciPy: ``d c b a | a b c d | d c b a`` (reflect), ``a a a | a b c d
    | d d d`` (nearest), ``d c b | a b c d | c b a`` (mirror), ``b c d | a b c d | a b c`` (wrap), ``k k k | a b c d |
    k k k`` (constant). Minimum, maximum and morphology also have "ignore", as in scikit-image: only pixels of the image
    count. Where there are none under a footprint, a minimum is the dtype's maximum and a maximum its minimum, of floats
    an infinity. It is the default of opening, closing and the top hats: with "reflect", an opening by a footprint that
    is not symmetric may exceed the image at its border.
cval : number
    The constant k of mode "constant"; it must be a value of the image's dtype.
axes : str, optional
    The array's axes, one letter each: Y rows, X columns, C channels; T, Z and N (time, depth, number) are axes
    of a stack, whose images are filtered independently, in parallel. ``"TYX"`` is a stack of grey images, ``"TYXC"`` of
    colour ones, ``"CYX"`` an image with its channels first, ``"YXC"`` one with any number of channels. The result has
    its axes in the same order. None: ``(H, W)``, or ``(H, W, C)`` with at most four channels; any other array needs
    ``axes``.

Images are ``(H, W)`` or ``(H, W, C)``, uint8, uint16, int16, float32 or float64, from NumPy, CuPy, PIL or anything
that has DLPack; the result is of the same kind. Channels are filtered separately. Results are rounded half to
even and saturated. Minimum, maximum, median and morphology also take masks (bool) and labels (int32); filters that
only move pixels take any dtype of 1, 2, 4 or 8 bytes. `gpuimg.astype` converts between dtypes.
"""

from __future__ import annotations

import difflib
from importlib import import_module

from gpuimg.errors import shown
from gpuimg.registry import FILTERS, Filter

FAMILIES = ("color", "exposure", "smooth", "edges", "morphology", "transform", "warp", "measure", "feature")


def all_filters() -> dict[str, Filter]:
    """`gpuimg.registry.FILTERS` with every family loaded."""
    for family in FAMILIES:
        import_module(f"{__name__}.{family}")
    return FILTERS


def filter_named(name: str) -> Filter:
    """The filter of that name, or a `ValueError` that suggests some."""
    filters = all_filters()
    if name in filters:
        return filters[name]
    close = difflib.get_close_matches(name, filters, cutoff=0.7)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(f"there is no filter {shown(name)}; {hint}`gpuimg filters` lists them")
