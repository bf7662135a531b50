"""Arithmetic of images with images and numbers, rounded and saturated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpuimg import images
from gpuimg.filters.exposure import dtype_among, plan_astype, upside_down
from gpuimg.images import DTYPES, FLOAT32, FLOAT64
from gpuimg.plans.alpha import colors_of
from gpuimg.plans.nodes import point
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, Out

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

ADD, SUBTRACT, MULTIPLY, DIVIDE = range(4)  # as in the kernels


IMAGE = {"other": upside_down}


@register({"other": 30}, IMAGE, {"other": 0.5, "dtype": "float32"}, operands=("other",), alpha="kept")
def add(
    image: ImageLike,
    other: ImageLike | float,
    dtype: DTypeLike | None = None,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Add an image or a number to an image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    other : number, or array of the image's shape and dtype
    dtype : dtype, optional
        Of the result: uint8, uint16, int16, float32 or float64. By default the image's.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape: ``image + other``, computed in float64 where the image or the result is float64, else in
    float32. Integers are rounded half to even and saturated, so that 200 + 100 is 255 in uint8; NaN becomes 0.

    Raises
    ------
    TypeError, ValueError : ``other`` is not a number or has another shape or dtype, ``dtype`` is none of these

    References
    ----------
    .. [1] `cv2.add`, which saturates too; NumPy wraps round.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[0, 100, 200]], np.uint8)
    >>> gpuimg.add(image, 100)
    array([[100, 200, 255]], dtype=uint8)
    >>> gpuimg.add(image, image, dtype="uint16")
    array([[  0, 200, 400]], dtype=uint16)
    """
    return _computed(ADD, image, other, dtype, axes, alpha, backend, out)


@register({"other": 30}, IMAGE, {**IMAGE, "dtype": "int16"}, operands=("other",), alpha="kept")
def subtract(
    image: ImageLike,
    other: ImageLike | float,
    dtype: DTypeLike | None = None,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Subtract an image or a number from an image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    other : number, or array of the image's shape and dtype
    dtype : dtype, optional
        Of the result: uint8, uint16, int16, float32 or float64. By default the image's.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape: ``image - other``, computed in float64 where the image or the result is float64, else in
    float32. Integers are rounded half to even and saturated, so that 100 - 200 is 0 in uint8; NaN becomes 0.

    Raises
    ------
    TypeError, ValueError : ``other`` is not a number or has another shape or dtype, ``dtype`` is none of these

    References
    ----------
    .. [1] `cv2.subtract`, which saturates too; NumPy wraps round.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[0, 100, 200]], np.uint8)
    >>> gpuimg.subtract(image, image[:, ::-1])
    array([[  0,   0, 200]], dtype=uint8)
    >>> gpuimg.subtract(image, image[:, ::-1], dtype="int16")
    array([[-200,    0,  200]], dtype=int16)
    """
    return _computed(SUBTRACT, image, other, dtype, axes, alpha, backend, out)


@register(
    {"other": 1.5},
    IMAGE,
    {**IMAGE, "dtype": "float32"},
    operands=("other",),
    alpha="kept",
)
def multiply(
    image: ImageLike,
    other: ImageLike | float,
    dtype: DTypeLike | None = None,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Multiply an image by an image or a number.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    other : number, or array of the image's shape and dtype
    dtype : dtype, optional
        Of the result: uint8, uint16, int16, float32 or float64. By default the image's.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape: ``image * other``, computed in float64 where the image or the result is float64, else in
    float32. Integers are rounded half to even and saturated; NaN becomes 0.

    Raises
    ------
    TypeError, ValueError : ``other`` is not a number or has another shape or dtype, ``dtype`` is none of these

    References
    ----------
    .. [1] `cv2.multiply`, which saturates too; NumPy wraps round.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.multiply(np.array([[0, 100, 200]], np.uint8), 1.5)
    array([[  0, 150, 255]], dtype=uint8)
    """
    return _computed(MULTIPLY, image, other, dtype, axes, alpha, backend, out)


@register(
    {"other": 3},
    IMAGE,
    {**IMAGE, "dtype": "float32"},
    operands=("other",),
    alpha="kept",
)
def divide(
    image: ImageLike,
    other: ImageLike | float,
    dtype: DTypeLike | None = None,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Divide an image by an image or a number.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    other : number, or array of the image's shape and dtype
    dtype : dtype, optional
        Of the result: uint8, uint16, int16, float32 or float64. By default the image's.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape: ``image / other``, computed in float64 where the image or the result is float64, else in
    float32. Integers are rounded half to even and saturated: a value divided by 0 becomes the end of the dtype's range
    that has its sign, and 0 / 0, which is NaN in floats, becomes 0.

    Raises
    ------
    TypeError, ValueError : ``other`` is not a number or has another shape or dtype, ``dtype`` is none of these

    References
    ----------
    .. [1] `cv2.divide`, by which integers divided by 0 are 0.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.divide(np.array([[0, 100, 200]], np.uint8), 3)
    array([[ 0, 33, 67]], dtype=uint8)
    >>> gpuimg.divide(np.array([[0, 100]], np.uint8), np.array([[0, 0]], np.uint8))
    array([[  0, 255]], dtype=uint8)
    """
    return _computed(DIVIDE, image, other, dtype, axes, alpha, backend, out)


def _computed(
    operation: int,
    image: Any,
    other: Any,
    dtype: Any,
    axes: str | None,
    alpha: bool | None,
    backend: Backend | None,
    out: Any,
) -> Any:
    source = images.accept(image, axes=axes, alpha=alpha)
    wanted = source.dtype if dtype is None else dtype_among(DTYPES, dtype)
    second = images.operand("other", other, source)
    if isinstance(second, float):
        return run(plan_with_number, source, operation, second, wanted, alpha="kept", backend=backend, out=out)
    return run(plan_arithmetic, source, operation, wanted, others=(second,), alpha="kept", backend=backend, out=out)


def plan_arithmetic(image: Value, other: Value, operation: int, dtype: np.dtype[Any]) -> Value:
    """An image combined with another; in floats first where the result has another dtype."""
    other = colors_of(other, image)
    kind = _kind(image.dtype, dtype)
    first, second = (plan_astype(each, kind, False) if kind != each.dtype else each for each in (image, other))
    made = point("arithmetic", first, other=second, operation=operation)
    return made if kind == dtype else plan_astype(made, dtype, False)


def plan_with_number(image: Value, operation: int, number: float, dtype: np.dtype[Any]) -> Value:
    """The same with a number."""
    kind = _kind(image.dtype, dtype)
    first = plan_astype(image, kind, False) if kind != image.dtype else image
    made = point("arithmetic_number", first, operation=operation, number=number)
    return made if kind == dtype else plan_astype(made, dtype, False)


def _kind(dtype: np.dtype[Any], wanted: np.dtype[Any]) -> np.dtype[Any]:
    """What is computed from and to: the image's dtype where that stays, for then the kernel rounds."""
    if dtype == wanted:
        return dtype
    return FLOAT64 if FLOAT64 in (dtype, wanted) else FLOAT32
