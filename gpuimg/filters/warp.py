"""Geometric transforms that sample an image by a matrix, by an angle, or at given coordinates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpuimg import images
from gpuimg.filters.transform import accept_sampled, plan_rot90, wanted_shape
from gpuimg.plans.nodes import Edge, copied, moved, resample
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, MatrixLike, Mode, Order, Out

Array = np.ndarray[Any, Any]
Matrix = tuple[float, ...]  # three rows of three
INTERPOLATING = {1: ("linear", 6.0), 3: ("cubic", 15.0)}  # by order: suffix of the kernels' names, and their work
REAL = frozenset(dtype for dtype in images.KNOWN if dtype.kind in "uif")


def _edge(mode: Any, cval: Any, source: images.Source, order: int) -> Edge:
    edge = images.border(mode, cval, images.FLOAT32 if source.dtype.kind == "c" else source.dtype)
    if source.has_alpha and order and edge[0] == images.MODES["constant"].code and edge[1] != 0:
        raise ValueError("cval must be 0 for images with an alpha channel")
    return edge


def _checked_matrix(matrix: Any) -> Matrix:
    array = np.asarray(matrix)
    if array.dtype.kind not in "buif":
        raise TypeError(f"matrix must hold numbers, got {matrix!r}")
    if array.shape != (3, 3):
        raise ValueError(f"matrix must have the shape (3, 3), got {array.shape}")
    found = tuple(map(float, array.ravel().tolist()))
    if not all(map(math.isfinite, found)):
        raise ValueError(f"matrix must be finite, got {array.tolist()}")
    return found


def _sampled(name: str, image: Value, shape: tuple[int, ...], order: int, edge: Edge, **where: Any) -> Value:
    """Sample an image with the kernels of this name."""
    mode, cval = edge
    if order:
        kernel, work = INTERPOLATING[order]
        return resample(f"{name}_{kernel}", image, shape=shape, work=work, mode=mode, cval=cval, **where)
    value = images.bits(cval, image.dtype)

    def move(pixels: Value) -> Value:
        return resample(f"{name}_nearest", pixels, shape=shape, work=4.0, mode=mode, fill_value=value, **where)

    return moved(image, move)


@register(
    {"matrix": ((0.9, 0.2, -3), (-0.15, 1.1, 2.5), (0, 0, 1))},
    {"matrix": ((1, 0.1, 2), (0.05, 0.95, -1.25), (0.002, -0.001, 1)), "output_shape": (25, 40)},
    {"matrix": ((0.3, 0.02, 0.45), (0.03, 0.4, 1.2), (0, 0, 1)), "output_shape": (50, 60), "order": 0},
    {"matrix": ((0.8, 0.3, -2), (-0.2, 1.05, 4.5), (0, 0, 1)), "order": 3},
    alpha="weighed",
)
def warp(
    image: ImageLike,
    matrix: MatrixLike,
    output_shape: tuple[int, ...] | None = None,
    order: Order = 1,
    *,
    mode: Mode = "constant",
    cval: float = 0,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Warp an image by an affine or projective transform.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
        With order 0, any dtype of 1, 2, 4 or 8 bytes, including masks and labels.
    matrix : (3, 3) array of finite numbers
        Maps output coordinates (column, row, 1) to ``(scale * column, scale * row, scale)`` of the input; pixel centres
        are at integer coordinates. To move the image by a transform, pass its inverse.
    output_shape : (rows, columns), optional
        None: the image's. A third entry must be the image's number of channels.
    order : {0, 1, 3}
        0: nearest neighbour, halves up; 1: bilinear interpolation; 3: bicubic interpolation (cubic convolution with
        a = -1/2), which may overshoot near edges, where integers saturate.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`
        A sample between the border and the constant is interpolated between both, as in scikit-image and OpenCV; SciPy
        calls this "grid-constant", and "wrap" "grid-wrap".

    Returns
    -------
    array of the output shape and the image's dtype; the values are not rescaled. Integers: within 1 of the exact value.
    Samples at NaN coordinates (0 / 0) are ``cval``, or 0 in modes other than "constant".

    Raises
    ------
    ValueError : ``matrix`` is not 3x3 or not finite, a side of ``output_shape`` is not positive, ``order`` or ``mode``
        is not one of these, or the image is empty and the output is not
    TypeError : the dtype can only be warped with order 0

    Notes
    -----
    Differs from `skimage.transform.warp`, whose ``preserve_range`` is false and ``clip`` true by default; ``matrix`` is
    its ``inverse_map``. Order 3 weights the 4 x 4 pixels around each sample by the kernel of `gpuimg.resize`, without
    prefilter, as scikit-image does for a matrix (a = -1/2, the Catmull-Rom spline). OpenCV's ``INTER_CUBIC`` has
    a = -3/4, which is sharper and overshoots more; SciPy's order 3 is a cubic B-spline with a prefilter.

    References
    ----------
    .. [1] `skimage.transform.warp` with ``inverse_map=matrix``, ``preserve_range=True`` and ``clip=False``.
    .. [2] R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on Acoustics,
       Speech, and Signal Processing 29(6), 1981.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[0, 100, 200]], np.uint8)
    >>> gpuimg.warp(image, [[1, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    array([[ 50, 150, 100]], dtype=uint8)
    """
    source, order = accept_sampled(image, order, axes, alpha)
    shape = source.shape[:2] if output_shape is None else wanted_shape(source, output_shape)
    edge = _edge(mode, cval, source, order)
    return run(
        plan_warp, source, _checked_matrix(matrix), shape, order, edge, alpha="weighed", backend=backend, out=out
    )


def plan_warp(image: Value, matrix: Matrix, shape: tuple[int, ...], order: int, edge: Edge) -> Value:
    shape = (*shape, *image.shape[2:])
    if 0 in image.shape:  # nothing is computed
        return Value(shape, image.dtype)
    return _sampled("warp", image, shape, order, edge, matrix=np.array(matrix).reshape(3, 3))


# Cosine and sine of multiples of 90 degrees.
RIGHT_ANGLES = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}


@register(
    {"angle": 30},
    {"angle": -100.5, "resize": True},
    {"angle": 17, "center": (10, 4.5), "order": 0},
    {"angle": 62, "order": 3},
    {"angle": 180},
    alpha="weighed",
)
def rotate(
    image: ImageLike,
    angle: float,
    resize: bool = False,
    center: tuple[float, float] | None = None,
    order: Order = 1,
    mode: Mode = "constant",
    cval: float = 0,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Rotate an image counterclockwise by any angle.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
        With order 0, any dtype of 1, 2, 4 or 8 bytes, including masks and labels.
    angle : number
        Angle in degrees.
    resize : bool
        True: the result has the size of the whole rotated image. False: the size of the image.
    center : (column, row), optional
        Centre of rotation. None: the image's centre.
    order : {0, 1, 3}
        0: nearest neighbour, halves up; 1: bilinear interpolation; 3: bicubic interpolation, as in `warp`.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`; as in `warp`

    Returns
    -------
    array of the image's dtype; the values are not rescaled. Multiples of 90 degrees are exact if the result has the
    same shape as that of `rot90`.

    Raises
    ------
    ValueError : ``angle`` or ``center`` is not finite, or ``order`` or ``mode`` is not one of these
    TypeError : the dtype can only be rotated with order 0

    Notes
    -----
    Differs from `skimage.transform.rotate`, whose ``preserve_range`` is false and ``clip`` true by default. Order 3 is
    scikit-image's; OpenCV's ``INTER_CUBIC`` has another kernel, see `warp`.

    References
    ----------
    .. [1] `skimage.transform.rotate` with ``preserve_range=True`` and ``clip=False``.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rotate(np.array([[1, 2], [3, 4]], np.uint8), 90)
    array([[2, 4],
           [1, 3]], dtype=uint8)
    """
    source, order = accept_sampled(image, order, axes, alpha)
    degrees = images.number("angle", angle) % 360
    grows = images.flag("resize", resize)
    about = None if center is None else _point(center)
    edge = _edge(mode, cval, source, order)
    return run(plan_rotate, source, degrees, grows, about, order, edge, alpha="weighed", backend=backend, out=out)


def _point(center: Any) -> tuple[float, float]:
    if isinstance(center, str | bytes) or not hasattr(center, "__len__") or len(center) != 2:
        raise ValueError(f"center must be (column, row), got {center!r}")
    col, row = (images.number("center", part) for part in center)
    return col, row


def plan_rotate(
    image: Value, degrees: float, resize: bool, center: tuple[float, float] | None, order: int, edge: Edge
) -> Value:
    rows, cols = image.shape[:2]
    turns = int(degrees // 90)
    if degrees in RIGHT_ANGLES and (resize or (center is None and (turns % 2 == 0 or rows == cols))):
        return plan_rot90(image, turns) if turns else copied(image)
    cos, sin = RIGHT_ANGLES.get(degrees) or (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    x, y = center or ((cols - 1) / 2, (rows - 1) / 2)
    # From output to input: x + cos * (col - x) - sin * (row - y), y + sin * (col - x) + cos * (row - y).
    right, down = x - (cos * x - sin * y), y - (sin * x + cos * y)
    shape = rows, cols
    if resize:
        corners = [(col - x, row - y) for col in (0, cols - 1) for row in (0, rows - 1)]
        along = [cos * col + sin * row + x for col, row in corners]
        across = [cos * row - sin * col + y for col, row in corners]
        left, top = min(along), min(across)
        shape = round(max(across) - top + 1), round(max(along) - left + 1)
        right, down = right + cos * left - sin * top, down + sin * left + cos * top
    matrix = (cos, -sin, right, sin, cos, down, 0.0, 0.0, 1.0)
    return plan_warp(image, matrix, shape, order, edge)


def _grid(axis: int, scale: float) -> Any:
    """Return an example of coordinates: the image slightly rotated and enlarged."""

    def make(image: Any) -> Array:
        rows, cols = np.indices(image.shape[:2], np.float64)
        return (rows * (scale - 0.1 * axis) + (0.17 - 0.3 * axis) * cols * (1 - axis) + axis * 0.8 * cols - 1.3).astype(
            np.float32 if scale == 1 else np.float64
        )

    return make


@register(
    {"rows": _grid(0, 1), "cols": _grid(1, 1)},
    {"rows": _grid(0, 0.7), "cols": _grid(1, 0.3), "order": 0},
    {"rows": _grid(0, 0.7), "cols": _grid(1, 0.3), "order": 3},
    images=("rows", "cols"),
    alpha="weighed",
)
def remap(
    image: ImageLike,
    rows: ImageLike,
    cols: ImageLike,
    order: Order = 1,
    mode: Mode = "constant",
    cval: float = 0,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Sample an image at given coordinates.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16, int16, float32 or float64
        With order 0, any dtype of 1, 2, 4 or 8 bytes, including masks and labels.
    rows, cols : (h, w) arrays of real numbers
        Row and column of each output pixel's sample; pixel centres are at integer coordinates. For a stack of images,
        either may have the image's axes without the channels: separate coordinates for each image.
    order : {0, 1, 3}
        0: nearest neighbour, halves up; 1: bilinear interpolation; 3: bicubic interpolation, as in `warp`.
    mode, cval, axes, alpha, backend, out : see `gpuimg.filters`; as in `warp`

    Returns
    -------
    (h, w) or (h, w, C) array of the image's dtype; the values are not rescaled. Integers: within 1 of the exact value.
    Samples at NaN coordinates are ``cval``, or 0 in modes other than "constant".

    Raises
    ------
    ValueError : ``rows`` and ``cols`` differ in shape or are empty, or ``order`` or ``mode`` is not one of these
    TypeError : the dtype can only be sampled with order 0, or the coordinates are not real numbers

    Notes
    -----
    Differs from `scipy.ndimage.map_coordinates` in that all channels share the coordinates, the default order is 1, and
    order 3 is cubic convolution, not a B-spline. Differs from `cv2.remap` with ``INTER_CUBIC`` in the kernel, see
    `warp`.

    References
    ----------
    .. [1] `scipy.ndimage.map_coordinates` with ``prefilter=False``, of orders 0 and 1.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[0, 100], [200, 40]], np.uint8)
    >>> gpuimg.remap(image, rows=np.array([[0, 0.5]]), cols=np.array([[1, 0.5]]))
    array([[100,  85]], dtype=uint8)
    """
    source, order = accept_sampled(image, order, axes, alpha)
    down, along = _coordinates("rows", rows, source), _coordinates("cols", cols, source)
    if down.shape != along.shape:
        raise ValueError(f"rows and cols must have the same shape, got {down.shape} and {along.shape}")
    if 0 in down.shape and 0 not in source.array.shape:
        raise ValueError(f"rows and cols must not be empty, got the shape {down.shape}")
    if down.dtype != along.dtype:
        down, along = down.astype(images.FLOAT64), along.astype(images.FLOAT64)
    edge = _edge(mode, cval, source, order)
    return run(plan_remap, source, order, edge, others=(down, along), alpha="weighed", backend=backend, out=out)


def _coordinates(name: str, given: Any, source: images.Source) -> Any:
    """Check coordinates and return them as floats, for each image of a source."""
    letters = None if source.axes is None else source.axes.given.replace("C", "")
    each = letters is not None and getattr(given, "ndim", 2) == len(letters)
    found = images.accept(given, REAL, axes=letters if each else None, name=name)
    array = found.array
    if len(found.shape) != 2:
        raise ValueError(f"{name} must have the shape (rows, columns), got {array.shape}")
    images.check_memory(name, found, source)
    if array.dtype not in images.FLOATS:
        array = array.astype(images.FLOAT64)
    if not source.stack:
        return array
    stack = source.axes.order[: source.axes.stack]  # type: ignore[union-attr]
    if each and "C" in stack:
        array = np.expand_dims(array, stack.index("C"))
    return images.broadcast(array, (*source.stack, *found.shape), source)


def plan_remap(image: Value, rows: Value, cols: Value, order: int, edge: Edge) -> Value:
    shape = (*rows.shape, *image.shape[2:])
    if 0 in image.shape:  # nothing is computed
        return Value(shape, image.dtype)
    return _sampled("remap", image, shape, order, edge, rows=rows, cols=cols)
