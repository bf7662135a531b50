"""Arithmetic of images with images and numbers, rounded and saturated; selection by a condition."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuimg import images
from gpuimg.filters.exposure import converted, dtype_among, is_plain, plan_lut, upside_down
from gpuimg.images import BOOL, DTYPES, FLOAT32
from gpuimg.plans.alpha import colors_of
from gpuimg.plans.nodes import point, view
from gpuimg.plans.value import Small, Value
from gpuimg.registry import register
from gpuimg.run import at_once, run
from gpuimg.typing import Backend, ImageLike, Out

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

ADD, SUBTRACT, MULTIPLY, DIVIDE = range(4)  # as in the kernels
_DTYPE_OF: dict[Any, np.dtype[Any]] = {name: each for each in DTYPES for name in (each.name, each.type)}


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
    other : number, or array of the image's dtype and of its shape or one that broadcasts to it
        Broadcasts as in NumPy; an array without the axes of a stack is combined with each of its images.
    dtype : dtype, optional
        Dtype of the result: uint8, uint16, int16, float32 or float64. By default the image's.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape: ``image + other``, computed in float64 if the image or the result is float64, otherwise in
    float32. Integers are rounded half to even and saturated, so that 200 + 100 is 255 in uint8; NaN becomes 0.

    Raises
    ------
    TypeError, ValueError : ``other`` is not a number or does not fit in shape or dtype, or ``dtype`` is not one of
        these

    References
    ----------
    .. [1] `cv2.add`, which also saturates; NumPy wraps around.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[0, 100, 200]], np.uint8)
    >>> gpuimg.add(image, 100)
    array([[100, 200, 255]], dtype=uint8)
    >>> gpuimg.add(image, image, dtype="uint16")
    array([[  0, 200, 400]], dtype=uint16)
    >>> frames = np.array([[[10, 20]], [[30, 40]]], np.uint8)
    >>> gpuimg.add(frames, np.array([[1, 2]], np.uint8), axes="TYX")
    array([[[11, 22]],
    <BLANKLINE>
           [[31, 42]]], dtype=uint8)
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
    other : number, or array of the image's dtype and of its shape or one that broadcasts to it
        Broadcasts as in NumPy; an array without the axes of a stack is combined with each of its images.
    dtype : dtype, optional
        Dtype of the result: uint8, uint16, int16, float32 or float64. By default the image's.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape: ``image - other``, computed in float64 if the image or the result is float64, otherwise in
    float32. Integers are rounded half to even and saturated, so that 100 - 200 is 0 in uint8; NaN becomes 0.

    Raises
    ------
    TypeError, ValueError : ``other`` is not a number or does not fit in shape or dtype, or ``dtype`` is not one of
        these

    References
    ----------
    .. [1] `cv2.subtract`, which also saturates; NumPy wraps around.

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
    other : number, or array of the image's dtype and of its shape or one that broadcasts to it
        Broadcasts as in NumPy; an array without the axes of a stack is combined with each of its images.
    dtype : dtype, optional
        Dtype of the result: uint8, uint16, int16, float32 or float64. By default the image's.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape: ``image * other``, computed in float64 if the image or the result is float64, otherwise in
    float32. Integers are rounded half to even and saturated; NaN becomes 0.

    Raises
    ------
    TypeError, ValueError : ``other`` is not a number or does not fit in shape or dtype, or ``dtype`` is not one of
        these

    References
    ----------
    .. [1] `cv2.multiply`, which also saturates; NumPy wraps around.

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
    other : number, or array of the image's dtype and of its shape or one that broadcasts to it
        Broadcasts as in NumPy; an array without the axes of a stack is combined with each of its images.
    dtype : dtype, optional
        Dtype of the result: uint8, uint16, int16, float32 or float64. By default the image's.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape: ``image / other``, computed in float64 if the image or the result is float64, otherwise in
    float32. Integers are rounded half to even and saturated: a positive value divided by 0 becomes the dtype's maximum,
    a negative one its minimum, and 0 / 0, which is NaN for floats, becomes 0.

    Raises
    ------
    TypeError, ValueError : ``other`` is not a number or does not fit in shape or dtype, or ``dtype`` is not one of
        these

    References
    ----------
    .. [1] `cv2.divide`, which returns 0 for integers divided by 0.

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
    if axes is None and alpha is None and type(image) is np.ndarray:
        made = _at_once(operation, image, other, dtype, backend, out)
        if made is not None:
            return made
    source = images.accept(image, axes=axes, alpha=alpha)
    wanted = source.dtype if dtype is None else dtype_among(DTYPES, dtype)
    second = images.operand("other", other, source)
    if isinstance(second, float):
        return run(plan_with_number, source, operation, second, wanted, alpha="kept", backend=backend, out=out)
    return run(plan_arithmetic, source, operation, wanted, others=(second,), alpha="kept", backend=backend, out=out)


def _at_once(
    operation: int, image: np.ndarray[Any, Any], other: Any, dtype: Any, backend: Backend | None, out: Any
) -> Any | None:
    """Return the result if it is one short call, otherwise None."""
    if dtype is None:
        wanted = image.dtype
    else:
        wanted = _DTYPE_OF.get(dtype) if type(dtype) in (str, type) else dtype
        if not isinstance(wanted, np.dtype):
            return None
    if type(other) is np.ndarray:
        return at_once(plan_arithmetic, image, (operation, wanted), backend, out, (other,))
    if is_plain(other):
        return at_once(plan_with_number, image, (operation, float(other), wanted), backend, out)
    return None


def plan_arithmetic(image: Value, other: Value, operation: int, dtype: np.dtype[Any]) -> Value:
    """Combine an image with another, in floats if the result has another dtype."""
    other = colors_of(other, image)
    kind = _kind(image.dtype, dtype)
    made = point("arithmetic", converted(image, kind), other=converted(other, kind), operation=operation)
    return converted(made, dtype)


def plan_with_number(image: Value, operation: int, number: float, dtype: np.dtype[Any]) -> Value:
    """Combine an image with a number, in floats if the result has another dtype."""
    kind = _kind(image.dtype, dtype)
    made = point("arithmetic_number", converted(image, kind), operation=operation, number=number)
    return converted(made, dtype)


def _kind(dtype: np.dtype[Any], wanted: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the kernel: the image's if the result has it too, as the kernel rounds; otherwise floats."""
    return dtype if dtype == wanted else images.real(dtype, wanted)


@register(
    {"a": 200, "b": 50},
    {"a": upside_down, "b": 7},
    {"a": 0.5, "b": upside_down, "dtype": "float32"},
    {"a": upside_down, "b": upside_down},
    kinds="buif",
    also=images.WITH_LABELS,
    operands=("a", "b"),
    alpha="channel",
)
def where(
    condition: ImageLike,
    a: ImageLike | float,
    b: ImageLike | float,
    dtype: DTypeLike | None = None,
    *,
    axes: str | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Select from two images or numbers: ``a`` where a condition is true, ``b`` elsewhere.

    Parameters
    ----------
    condition : (H, W) or (H, W, C) array of bool, uint8, uint16, int16, int32, float32 or float64
        Nonzero values are true.
    a, b : numbers, or arrays of one dtype and of the condition's shape or one that broadcasts to it
        Any dtype of 1, 2, 4 or 8 bytes. An array without the axes of a stack is used for each of its images. Without
        ``axes``, a condition (H, W) or (H, W, 1) also selects pixels of images (H, W, C).
    dtype : dtype, optional
        Dtype of the result: uint8, uint16, int16, float32 or float64. By default that of the images; for two numbers
        the first of uint8, uint16 and int16 that holds both, otherwise float32; for two bools, bool.
    axes, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the images' shape, or of the condition's if both are numbers. In integer results, numbers are rounded half
    to even and saturated, and NaN becomes 0.

    Raises
    ------
    TypeError, ValueError : ``a`` or ``b`` is neither a number nor an image, or does not fit in shape or dtype, or
        ``dtype`` is not one of these

    Notes
    -----
    Differs from `numpy.where` in dtypes: numbers take the image's dtype, and the result always has a dtype of images.

    References
    ----------
    .. [1] `numpy.where`

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> image = np.array([[0, 100, 200]], np.uint8)
    >>> gpuimg.where(image > 50, image, 0)
    array([[  0, 100, 200]], dtype=uint8)
    >>> gpuimg.where(image > 50, 255, image)
    array([[  0, 255, 255]], dtype=uint8)
    >>> gpuimg.where(image > 50, 1, -1)
    array([[-1,  1,  1]], dtype=int16)
    """
    if axes is None and dtype is None:
        made = _selected_at_once(condition, a, b, backend, out)
        if made is not None:
            return made
    source = images.accept(condition, images.WITH_LABELS, axes=axes, name="condition")
    first, second = _operand("a", a, source), _operand("b", b, source)
    arrays = tuple([each for each in (first, second) if hasattr(each, "dtype")])
    known = arrays[0].dtype if arrays else _dtype_of(first, second)
    wanted = known if dtype is None else dtype_among(DTYPES, dtype)
    if len(arrays) == 2 and (first.shape, first.dtype) != (second.shape, second.dtype):
        raise ValueError(
            f"b must have the shape and dtype of a, {first.shape} {first.dtype}, got {second.shape} {second.dtype}"
        )
    if wanted != known and known not in images.WITH_LABELS:
        raise TypeError(f"dtype must be None for {known} images, got {wanted}")
    if len(arrays) == 2:
        return run(plan_where, source, wanted, others=arrays, backend=backend, out=out)
    if not arrays:
        table = np.full((1, 256), _stored(first, wanted), wanted)
        table[0, 0] = _stored(second, wanted)
        tables = (table.view(np.uint8) if wanted == BOOL else table,)
        return run(plan_of_numbers, source, wanted, tables=tables, backend=backend, out=out)
    holds = arrays[0] is second
    number = images.bits(_stored(first if holds else second, wanted), wanted)
    return run(plan_where_number, source, number, holds, wanted, others=arrays, backend=backend, out=out)


def _selected_at_once(condition: Any, a: Any, b: Any, backend: Backend | None, out: Any) -> Any | None:
    """Return the result of `where` if it is one short call, otherwise None."""
    holds = type(b) is np.ndarray
    if holds and type(a) is np.ndarray:
        return at_once(plan_where, condition, (a.dtype,), backend, out, (a, b))
    number, array = (a, b) if holds else (b, a)
    if type(array) is not np.ndarray or type(number) not in (int, float) or array.dtype not in images.MOVED:
        return None
    bits = images.bits(_stored(number, array.dtype), array.dtype)
    return at_once(plan_where_number, condition, (bits, holds, array.dtype), backend, out, (array,))


def _operand(name: str, value: Any, source: images.Source) -> Any:
    """Check an operand and return a Python number, or an array whose shape fits the condition."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else images.number(name, value, finite=False)
    if isinstance(value, str | bytes | None):
        raise TypeError(f"{name} must be an image or a number, got {value!r}")
    if source.axes is None and source.channels == 1 and getattr(value, "ndim", 2) in (2, 3):
        array = images.accept_along(name, value, images.MOVED, source, first="condition")
        if array.shape[:2] == source.shape[:2]:  # the condition selects whole pixels
            return array
    return images.accept_broadcast(name, value, source, first="condition", dtypes=images.MOVED)


def _dtype_of(*numbers: float) -> np.dtype[Any]:
    """Return the dtype of a selection from numbers."""
    if all(isinstance(number, bool) for number in numbers):
        return BOOL
    for dtype in DTYPES[:3]:
        low, high = images.limits(dtype)
        if all(low <= number <= high and number == int(number) for number in numbers):
            return dtype
    return FLOAT32


def _stored(number: float, dtype: np.dtype[Any]) -> Any:
    """Convert a number to a dtype: rounded half to even and saturated to integers, NaN as 0."""
    if dtype.kind in "iu":
        low, high = images.limits(dtype)
        return 0 if number != number else round(min(max(number, low), high))
    with np.errstate(over="ignore"):
        return dtype.type(number)


def plan_where(condition: Value, first: Value, second: Value, dtype: np.dtype[Any]) -> Value:
    """Select from two images; pixels are moved as unsigned integers, so that few kernels are needed."""
    first, second = converted(first, dtype), converted(second, dtype)
    return _chosen("where", condition, first, dtype, first=_plain(first), second=_plain(second))


def plan_where_number(condition: Value, other: Value, number: int, holds: bool, dtype: np.dtype[Any]) -> Value:
    """Select from an image and a number, given by its bits; the number is used where the condition is ``holds``."""
    other = converted(other, dtype)
    return _chosen("where_number", condition, other, dtype, other=_plain(other), number=number, holds=int(holds))


def plan_of_numbers(condition: Value, table: Small, dtype: np.dtype[Any]) -> Value:
    """Select from two numbers by a look-up table with the second number at 0."""
    return plan_lut(_truth(condition), table, dtype)


def _chosen(kernel: str, condition: Value, like: Value, dtype: np.dtype[Any], **arguments: Any) -> Value:
    channels = like.channels // max(condition.channels, 1)
    plain = _plain(like).dtype
    made = point(kernel, _truth(condition), shape=like.shape, dtype=plain, channels=channels, **arguments)
    return view(made, dtype)


def _truth(condition: Value) -> Value:
    """Return bytes that are 0 where the condition is false."""
    return condition if condition.dtype.itemsize == 1 else point("nonzero", condition, dtype=BOOL, work=0.5)


def _plain(image: Value) -> Value:
    return image if image.dtype.kind in "bu" else view(image, np.dtype(f"u{image.dtype.itemsize}"))
