"""Images and arguments: dtypes, border modes, kinds of array, and checks.

An image is ``(H, W)`` or ``(H, W, C)`` with the channels last; other arrays need ``axes``, a letter for each axis.
`accept` takes any kind of array that holds one image or a stack of images and returns a `Source`: a NumPy or CuPy array
laid out for kernels, and a function that converts results to the caller's kind of array.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Collection
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from gpuimg.exif import orientation_of, upright, upright_info
from gpuimg.keeping import kept
from gpuimg.memory import copy_pixels, new_array
from gpuimg.typing import ImageLike

Array = np.ndarray[Any, Any]


class Border(NamedTuple):
    """A border mode: its number in kernels, and its names in numpy.pad and OpenCV."""

    code: int
    numpy: str
    opencv: str


# SciPy's names. The letters show what lies beyond the edge of the row a b c d.
MODES: dict[str, Border] = {
    "reflect": Border(0, "symmetric", "BORDER_REFLECT"),  # d c b a | a b c d | d c b a
    "nearest": Border(1, "edge", "BORDER_REPLICATE"),  # a a a a | a b c d | d d d d
    "mirror": Border(2, "reflect", "BORDER_REFLECT_101"),  # d c b | a b c d | c b a
    "wrap": Border(3, "wrap", "BORDER_WRAP"),  # a b c d | a b c d | a b c d
    "constant": Border(4, "constant", "BORDER_CONSTANT"),  # k k k k | a b c d | k k k k
}

# Number of entries before the runs of a slab, in the tables for labelling regions.
RUNS_HEADER = 4

TEXTS, BOOLS = (str, bytes), (bool, np.bool_)  # a union of types would be created at each check

BOOL = np.dtype(bool)
UINT8 = np.dtype("uint8")
FLOAT32 = np.dtype("float32")
FLOAT64 = np.dtype("float64")
DTYPES = (UINT8, np.dtype("uint16"), np.dtype("int16"), FLOAT32, FLOAT64)
_ANY: frozenset[np.dtype[Any]] = frozenset(DTYPES)
FLOATS: frozenset[np.dtype[Any]] = frozenset((FLOAT32, FLOAT64))
WITH_BOOL: frozenset[np.dtype[Any]] = frozenset((*DTYPES, BOOL))
INT32 = np.dtype("int32")
# For filters that select or compare values: includes masks and labels.
WITH_LABELS: frozenset[np.dtype[Any]] = WITH_BOOL | {INT32}
_OTHERS = tuple(map(np.dtype, ("int8", "uint32", "int64", "uint64", "float16", "complex64")))
KNOWN = (BOOL, *DTYPES, INT32, *_OTHERS)
# For filters that only move pixels: every dtype of 1, 2, 4 or 8 bytes.
MOVED: frozenset[np.dtype[Any]] = frozenset(KNOWN)


ALPHA_CHANNELS = (2, 4)  # numbers of channels of images with alpha, the last channel
MOST_CHANNELS = 4  # of an array without ``axes``
STACKED = "TZN"  # axes of a stack, whose images are filtered independently


class Axes(NamedTuple):
    """The axes of an array: Y and X of the image, C for channels, T, Z and N for a stack of images.

    Attributes
    ----------
    given : the letters in the caller's order
    order : the letters in the order for kernels: axes of the stack, rows, columns, channels
    stack : number of axes of the stack
    """

    given: str
    order: str
    stack: int

    def arranged(self, array: Any) -> Any:
        """Transpose the caller's array to the order of axes for kernels."""
        return _transposed(array, self.given, self.order)

    def restored(self, result: Any) -> Any:
        """Transpose a result, which may have channels or not, to the caller's order of axes."""
        order = self._of(result.ndim)
        return _transposed(result, order, self._as_given(order))

    def given_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a result in the caller's order of axes."""
        order = self._of(len(shape))
        return tuple([shape[order.index(letter)] for letter in self._as_given(order)])

    def arranged_out(self, out: Any, ndim: int) -> Any:
        """Transpose the caller's array for a result of ``ndim`` axes to the order for kernels."""
        order = self._of(ndim)
        return _transposed(out, self._as_given(order), order)

    def _of(self, ndim: int) -> str:
        return self.order[: self.stack] + "YXC"[: ndim - self.stack]

    def _as_given(self, order: str) -> str:
        return "".join([e for e in self.given if e in order]) + "".join([e for e in order if e not in self.given])


def contiguous(array: Any) -> Any:
    """Return the array itself if it is C-contiguous, otherwise a C-contiguous copy."""
    if array.flags.c_contiguous:
        return array
    if not hasattr(array, "__cuda_array_interface__"):
        return _copied(array, array.dtype)
    with array.device:
        return array.copy()


def finish_on(device: Any) -> None:
    """Wait for a CUDA device's current stream, as streams of other devices do not."""
    import cupy

    with device:
        cupy.cuda.get_current_stream().synchronize()


def copied_to(array: Any, device: Any) -> Any:
    """Copy a CuPy array to another device."""
    finish_on(array.device)
    with device:
        copy = array.copy()
    finish_on(device)
    return copy


def _copied(array: Array, dtype: np.dtype[Any]) -> Array:
    """Copy an array to a C-contiguous array of another dtype; watched work may stop in between."""
    copied = new_array(array.shape, dtype)
    copy_pixels(array, copied)
    return copied


def _transposed(array: Any, given: str, order: str) -> Any:
    return array if given == order else array.transpose([given.index(letter) for letter in order])


class Source(NamedTuple):
    """An image ready for kernels: C-contiguous, aligned, in native byte order.

    Attributes
    ----------
    array : ndarray or cupy.ndarray, (H, W) or (H, W, C), with the axes of a stack before these
    restore : converts a result to the caller's kind of array; None if it already is
    on_device : whether the array is in GPU memory
    axes : the axes named by the caller; None if not given
    has_alpha : whether the last channel is alpha, which the filter treats separately
    """

    array: Any
    restore: Callable[[Any], Any] | None = None
    on_device: bool = False
    axes: Axes | None = None
    has_alpha: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype  # type: ignore[no-any-return]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.array.shape if self.axes is None else self.array.shape[self.axes.stack :]  # type: ignore[no-any-return]

    @property
    def stack(self) -> tuple[int, ...]:
        """Extents of the stack; () for a single image."""
        return () if self.axes is None else self.array.shape[: self.axes.stack]

    @property
    def channels(self) -> int:
        shape = self.shape
        return shape[2] if len(shape) == 3 else 1


def accept(
    image: ImageLike,
    dtypes: Collection[np.dtype[Any]] = _ANY,
    *,
    axes: str | None = None,
    together: bool = False,
    color: bool = False,
    grey: bool = False,
    channels: int | None = None,
    alpha: bool | None = False,
    name: str = "image",
) -> Source:
    """Check an image and prepare it for kernels.

    Parameters
    ----------
    image : NumPy, CuPy or PIL image, or any array with ``__cuda_array_interface__`` or DLPack
    dtypes : the dtypes that the filter takes
    axes : the array's axes, one letter each; None: (H, W), or (H, W, C) with at most four channels
    together : whether the filter combines channels; otherwise they may be a stack of images
    color : whether the image must have three channels, or four of which the last is ignored
    grey : whether an image of several channels is rejected unless ``axes`` names them
    channels : number of channels that the image must have, not counting alpha
    alpha : whether the last channel is alpha; None: according to the mode of a PIL image, otherwise False
    name : the argument's name, for error messages

    Raises
    ------
    TypeError : not an array, or its dtype is not among ``dtypes``
    ValueError : the shape is not that of an image, or ``axes`` does not fit it
    """
    array: Any
    if (
        type(image) is np.ndarray
        and (flags := image.flags).c_contiguous
        and flags.aligned
        and (dtype := image.dtype).isnative
    ):
        array, source = image, tuple.__new__(Source, (image, None, False, None, False))  # in half the time of `Source`
    else:
        source = _convert(image, name)
        array = source.array
        dtype = array.dtype
    if dtype not in dtypes:
        raise TypeError(_wrong_dtype(name, dtype, dtypes))
    if alpha is not None:
        source = source if source.has_alpha is alpha else _with_alpha(source, alpha)
    if axes is not None:
        source = _with_axes(source, axes, together or color or channels is not None or source.has_alpha, name)
    elif array.ndim != 2 and (array.ndim != 3 or array.shape[2] > MOST_CHANNELS):
        raise ValueError(ambiguous_axes(array.shape, name))
    if grey or color or channels is not None or source.has_alpha:
        _check_channels(source, axes, color, grey, channels, name)
    return source


def _check_channels(source: Source, axes: str | None, color: bool, grey: bool, channels: int | None, name: str) -> None:
    """Check the number of channels of an image; for the parameters see `accept`."""
    shape = source.shape
    if source.has_alpha:
        channels = channels and channels + 1
        if len(shape) != 3 or shape[2] not in ALPHA_CHANNELS:
            raise ValueError(f"{name} must have the shape (H, W, 2) or (H, W, 4) with alpha=True, got {shape}")
    if grey and axes is None and len(shape) == 3 and shape[2] - source.has_alpha > 1:
        remedy = (
            f"convert it first, for example gpuimg.rgb2gray({name}), or name its axes, 'YXC', for each channel's result"
        )
        raise ValueError(f"{name} must be grey, of the shape (H, W), got {shape}: {remedy}")
    if channels is not None and (len(shape) != 3 or shape[2] != channels):
        raise ValueError(f"{name} must have the shape (H, W, {channels}), got {shape}")
    if color and (len(shape) != 3 or shape[2] not in (3, 4)):
        raise ValueError(f"{name} must have the shape (H, W, 3) or (H, W, 4), got {shape}")


def _wrong_dtype(name: str, dtype: np.dtype[Any], dtypes: Collection[np.dtype[Any]]) -> str:
    names = ", ".join(str(each) for each in KNOWN if each in dtypes)
    message = f"{name} must have one of the dtypes {names}, got {dtype}"
    if dtype in WITH_LABELS:
        return f"{message}: convert it first, for example gpuimg.astype({name}, 'float32')"
    return f"{message}: convert it first, for example {name}.astype('float32')" if dtype in MOVED else message


def _with_alpha(source: Source, alpha: Any) -> Source:
    if not isinstance(alpha, BOOLS):
        raise TypeError(f"alpha must be True, False or None, got {alpha!r}")
    return source._replace(has_alpha=bool(alpha))


def _with_axes(source: Source, axes: str, together: bool, name: str) -> Source:
    array = source.array
    known = check_axes(axes, array.shape, together=together, name=name)
    return source._replace(array=contiguous(known.arranged(array)), axes=known)


def check_axes(axes: str, shape: tuple[int, ...], *, together: bool = True, name: str) -> Axes:
    """Check the letters of an array's axes; with ``together``, its channels are a part of each image."""
    known = _known_axes(axes, together)
    if len(axes) != len(shape):
        raise ValueError(f"axes must have a letter for each axis of {name}, whose shape is {shape}, got {axes!r}")
    return known


@lru_cache(maxsize=64)
def _known_axes(axes: str, together: bool) -> Axes:
    if not isinstance(axes, str) or set(axes) - set("YXC" + STACKED) or len(set(axes)) < len(axes):
        raise ValueError(f"axes must be different letters out of Y, X, C and {', '.join(STACKED)}, got {axes!r}")
    if not {"Y", "X"} <= set(axes):
        raise ValueError(f"axes must have Y and X, the rows and columns of the image, got {axes!r}")
    stack = [letter for letter in axes if letter in STACKED]
    if "C" in axes and not together and axes.index("C") < min(axes.index("Y"), axes.index("X")):
        stack = [letter for letter in axes if letter in STACKED or letter == "C"]
    last = "C" if "C" in axes and "C" not in stack else ""
    return Axes(axes, "".join(stack) + "YX" + last, len(stack))


# What an array with this number of axes may be.
SPELLINGS = {
    3: 'axes="TYX" for {first} images of a stack, "CYX" for {first} channels first or "YXC" for {last} channels last',
    4: 'axes="TYXC" for a stack of colour images, "TCYX" with the channels first or "TZYX" for two axes of a stack',
    5: 'axes="TZYXC" for two axes of a stack, "TZCYX" with the channels first or "NTZYX" for three axes',
}


def ambiguous_axes(shape: tuple[int, ...], name: str) -> str:
    """Return the message that an array is not an image without ``axes``, with suggestions."""
    rule = f"{name} must have the shape (H, W) or (H, W, C) with at most {MOST_CHANNELS} channels, got {shape}"
    if len(shape) not in SPELLINGS:
        return rule
    return f"{rule}; name its axes: {SPELLINGS[len(shape)].format(first=shape[0], last=shape[-1])}"


def by_channels(source: Source) -> Source:
    """Convert the channels of an image to a stack, to be filtered separately."""
    axes = source.axes or Axes("YXC", "YXC", 0)
    known = Axes(axes.given, axes.order[: axes.stack] + "CYX", axes.stack + 1)
    return source._replace(array=contiguous(_transposed(source.array, axes.order, known.order)), axes=known)


def given_shape(source: Source, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of all results of a source, each of this shape, in the caller's order of axes."""
    return shape if source.axes is None else source.axes.given_shape((*source.stack, *shape))


def accept_second(
    name: str, other: Any, source: Source, *, first: str = "image", dtypes: Collection[np.dtype[Any]] | None = None
) -> Any:
    """Check an image of the same shape and in the same memory as the argument ``first``, and return its array.

    Its dtype must be the same, or one of ``dtypes``.
    """
    array = accept_along(name, other, {source.dtype, *_ANY} if dtypes is None else dtypes, source, first=first)
    if array.shape != source.array.shape:
        raise ValueError(f"{name} must have the {first}'s shape {source.array.shape}, got {array.shape}")
    if dtypes is None:
        _check_same_dtype(name, array, source, first)
    return array


def accept_along(name: str, other: Any, dtypes: Collection[np.dtype[Any]], source: Source, *, first: str) -> Any:
    """Check an image of any shape in the same memory as the argument ``first``, and return its array."""
    axes = source.axes
    second = accept(
        other, dtypes, axes=axes and axes.given, together=axes is not None and axes.order.endswith("C"), name=name
    )
    check_memory(name, second, source, first)
    return second.array


def accept_broadcast(
    name: str, other: Any, source: Source, *, first: str = "image", dtypes: Collection[np.dtype[Any]] | None = None
) -> Any:
    """Check an image as `accept_second` does, but of any shape that broadcasts to the first image's, as in NumPy.

    If the first image has axes of a stack, in any position, an array without them is combined with each image.

    Returns its array, of the first image's shape; along axes of the stack, one image may repeat without a copy.
    """
    found = _native(other) if type(other) is np.ndarray else _convert(other, name)
    array, axes, shape = found.array, source.axes, given_shape(source, source.shape)
    if array.shape == shape:
        return accept_second(name, other if found.restore else array, source, first=first, dtypes=dtypes)
    if dtypes is None:
        _check_same_dtype(name, array, source, first)
    elif array.dtype not in dtypes:
        raise TypeError(_wrong_dtype(name, array.dtype, dtypes))
    check_memory(name, found, source, first)
    if axes is not None and array.ndim <= len(source.shape):
        lacking = len(source.shape) - array.ndim
        letters = [letter for letter in axes.given if letter in axes.order[axes.stack :]][lacking:]
        array = array[tuple([slice(None) if letter in letters else None for letter in axes.given])]
    try:
        wide = broadcast(array, shape, source)
    except ValueError:
        rule = f"{name} must have the {first}'s shape {shape}, or one that broadcasts to it"
        raise ValueError(f"{rule}, got {found.array.shape}") from None
    arranged, stack = wide if axes is None else axes.arranged(wide), len(source.stack)
    once = arranged[tuple([slice(1 if stride == 0 else None) for stride in arranged.strides[:stack]])]
    return broadcast(contiguous(once), arranged.shape, source)


def broadcast(array: Any, shape: tuple[int, ...], source: Source) -> Any:
    """Broadcast an array, in the same memory as a source, to this shape."""
    return np.broadcast_to(array, shape, **({} if source.on_device else {"subok": False}))


def _check_same_dtype(name: str, array: Any, source: Source, first: str) -> None:
    if array.dtype != source.dtype:
        raise TypeError(f"{name} must have the {first}'s dtype {source.dtype}, got {array.dtype}")


def check_memory(name: str, second: Source, source: Source, first: str = "image") -> None:
    """Raise unless an image is in the same memory as the argument ``first``."""
    if second.on_device != source.on_device:
        raise TypeError(f"{name} must be in {'GPU' if source.on_device else 'host'} memory, like the {first}")


def operand(name: str, given: Any, source: Source, dtypes: Collection[np.dtype[Any]] | None = None) -> Any:
    """Check a number, or an image that broadcasts to the source's shape; return a float, or the image's array.

    The image's dtype must be the same as the source's, or one of ``dtypes``."""
    if type(given) in (int, float):
        return float(given)
    if hasattr(given, "__float__") and not getattr(given, "ndim", 0):
        return number(name, given, finite=False)
    if given is None or isinstance(given, TEXTS):
        raise TypeError(f"{name} must be an image or a number, got {given!r}")
    return accept_broadcast(name, given, source, dtypes=dtypes)


def _native(array: Array) -> Source:
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return Source(array)
    return Source(_copied(array, array.dtype.newbyteorder("=")))


def _convert(image: Any, name: str) -> Source:
    kind = type(image)
    origin = kind.__module__.partition(".")[0]
    if origin == "cupy":
        return Source(image, None, True) if image.flags.c_contiguous else _from_device(image, origin)
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array, whose mask would be lost: use .filled()")
    if isinstance(image, np.matrix):
        raise TypeError(f"{name} must be a plain array, got numpy.matrix: convert it with numpy.asarray")
    if isinstance(image, np.ndarray):
        return _native(np.asarray(image))
    if hasattr(image, "__cuda_array_interface__"):
        return _from_device(image, origin)
    if origin == "PIL" and hasattr(image, "getbands"):
        return _from_pil(image)
    if hasattr(image, "__dlpack__"):
        return _from_dlpack(image)
    if hasattr(image, "__array_interface__"):
        return _native(np.asarray(image))
    raise TypeError(
        f"{name} must be a NumPy, CuPy or PIL image or support DLPack or __cuda_array_interface__, got {kind.__name__}"
    )


_PIL_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I", "F")


def _from_pil(image: Any) -> Source:
    if image.mode not in _PIL_MODES:
        modes = ", ".join(_PIL_MODES)
        raise TypeError(f"a PIL image must have one of the modes {modes}, got {image.mode!r}: use image.convert")
    # As an array, a PIL mask has 255 for True where NumPy has 1.
    array = np.asarray(image.convert("L")) > 0 if image.mode == "1" else np.asarray(image)
    orientation = orientation_of(image)  # for TIFF files, Pillow applies it when it loads the pixels
    restore = partial(_to_pil, dict(image.info), orientation)
    return Source(_native(upright(array, orientation)).array, restore, has_alpha=image.mode in ("LA", "RGBA"))


def _to_pil(info: dict[Any, Any], orientation: int, result: Any) -> Any:
    from PIL import Image

    if not isinstance(result, np.ndarray):
        return result
    try:
        made = Image.fromarray(result)
        made.info = upright_info(info, orientation, made.mode)
        return made
    except TypeError:
        raise TypeError(
            f"PIL has no mode for a result of shape {result.shape} and dtype {result.dtype}: "
            "pass numpy.asarray(image) to get a NumPy array"
        ) from None


def _from_device(image: Any, origin: str) -> Source:
    if find_spec("cupy") is None:
        packages = "'cupy-cuda13x[ctk]', or cupy-cuda12x for an older driver"
        raise TypeError(f"a {type(image).__name__} is in GPU memory, for which CuPy is needed: pip install {packages}")
    import cupy

    # DLPack makes CuPy's current stream wait for the stream that computes the image; most array interfaces do not.
    convert = cupy.from_dlpack if origin != "cupy" and hasattr(image, "__dlpack__") else cupy.asarray
    array = convert(image)
    with array.device:
        array = cupy.ascontiguousarray(array)
    return Source(array, None if origin == "cupy" else _returner(image), on_device=True)


def lies_on_device(image: Any) -> bool:
    """Return whether an array of any library is in GPU memory."""
    if hasattr(image, "__cuda_array_interface__"):
        return True
    # kDLCUDA, kDLCUDAManaged
    return hasattr(image, "__dlpack_device__") and int(image.__dlpack_device__()[0]) in (2, 13)


def device_of(image: Any) -> int:
    """Return the number of the device that holds an array of any library."""
    import cupy

    if not isinstance(image, cupy.ndarray) and hasattr(image, "__dlpack_device__"):
        return int(image.__dlpack_device__()[1])
    return int(cupy.asarray(image).data.device_id)


def _from_dlpack(image: Any) -> Source:
    if lies_on_device(image):
        return _from_device(image, "")
    device = int(image.__dlpack_device__()[0])
    if device not in (1, 3):  # kDLCPU, kDLCUDAHost
        raise TypeError(f"image must be in CPU or CUDA memory, got DLPack device type {device}")
    restore = _returner(image)
    return Source(_native(np.from_dlpack(image)).array, restore)


def _returner(image: Any) -> Callable[[Any], Any]:
    """Return a function that converts an array to the library of ``image``, by its ``from_dlpack``."""
    origin = type(image).__module__.partition(".")[0]
    library = image.__array_namespace__() if hasattr(image, "__array_namespace__") else sys.modules.get(origin)
    importer = getattr(library, "from_dlpack", None)
    if importer is None:
        raise TypeError(f"cannot convert a result to {origin}: it has no from_dlpack")

    def restore(result: Any) -> Any:
        return importer(result) if hasattr(result, "__dlpack__") else result

    return restore


def border(mode: str, cval: float, dtype: np.dtype[Any], *, also: tuple[str, ...] = ()) -> tuple[int, float]:
    """Check a border mode and its constant for images of ``dtype``, and return both as kernel arguments.

    ``also`` are modes that the filter handles itself, for the error message.
    """
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(_unknown_mode(mode, also))
    if mode != "constant":
        return MODES[mode].code, 0.0
    value = number("cval", cval, finite=False)
    if dtype.kind in "iub":
        low, high = full_range(dtype)
        if not (low <= value <= high and value == int(value)):
            raise ValueError(f"cval must be a whole number from {low} to {high} for {dtype} images, got {cval!r}")
    return signed(MODES[mode].code, float(dtype.type(value)))


def signed(first: float, second: float) -> tuple[Any, Any]:
    """Return two numbers as a parameter of a plan, which is not equal to one whose zeros have other signs."""
    both = first, second
    return _Signed(both) if 0.0 in both and -1.0 in _signs_of_zeros(both) else both


def _signs_of_zeros(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return tuple([math.copysign(1.0, each) if each == 0 else 0.0 for each in numbers])


class _Signed(tuple[Any, Any]):
    """Numbers of which one is -0.0: dictionaries take it for 0.0, but results differ."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not _Signed or not super().__eq__(other):
            return False
        return _signs_of_zeros(self) == _signs_of_zeros(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((*self, *_signs_of_zeros(self)))


def real(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """Return the floating-point dtype in which values of these dtypes are computed."""
    return FLOAT64 if FLOAT64 in dtypes else FLOAT32


def bits(value: Any, dtype: np.dtype[Any]) -> int:
    """Return the bits of a number of a dtype as a signed integer."""
    return int(np.array(value, dtype).view(f"i{dtype.itemsize}"))


def period(length: int, mode: int) -> int | None:
    """Return the period with which the extension of ``length`` samples repeats; None if it does not."""
    repeats = {MODES["reflect"].code: 2 * length, MODES["mirror"].code: max(2 * length - 2, 1)}
    repeats[MODES["wrap"].code] = length
    return repeats.get(mode)


def _unknown_mode(mode: object, also: tuple[str, ...]) -> str:
    message = f"mode must be one of {', '.join((*MODES, *also))}, got {mode!r}"
    for name, known in MODES.items():
        if isinstance(mode, str) and (mode == known.numpy or mode.upper() == known.opencv):
            return f"{message} ({mode} is called {name!r} here, as in SciPy)"
    return message


@cache
def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the minimum and maximum of an integer dtype."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def full_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the minimum and maximum of a dtype; infinite for floats."""
    if dtype.kind == "f":
        return -math.inf, math.inf
    return (0, 1) if dtype.kind == "b" else limits(dtype)


def flag(name: str, value: Any) -> bool:
    """Check a bool."""
    if not isinstance(value, BOOLS):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def number(name: str, value: Any, *, low: float = -math.inf, high: float = math.inf, finite: bool = True) -> float:
    """Check a real number from ``low`` to ``high``; by default it must be finite."""
    if isinstance(value, TEXTS) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be one number, got {value!r}") from None
    if finite and not math.isfinite(result):
        raise ValueError(f"{name} must be finite, got {value!r}")
    if result < low:
        raise ValueError(f"{name} must be at least {low:g}, got {value!r}")
    if result > high:
        raise ValueError(f"{name} must be at most {high:g}, got {value!r}")
    return result


def whole(name: str, value: Any, *, low: int = 1, high: int = 1 << 40) -> int:
    """Check an integer from ``low`` to ``high``."""
    if isinstance(value, BOOLS):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if result < low:
        rule = "positive" if low == 1 else f"at least {low}"
        raise ValueError(f"{name} must be {rule}, got {value!r}")
    if result > high:
        raise ValueError(f"{name} must be at most {high}, got {value!r}")
    return result


def axis(value: Any) -> int:
    """Check an axis, 0 or -2 for rows and 1 or -1 for columns, and return 0 or 1."""
    return whole("axis", value, low=-2, high=1) % 2


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return a value for rows and one for columns, from one for both or a pair."""
    if isinstance(value, TEXTS) or not hasattr(value, "__len__"):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name} must be one number or two (rows, columns), got {value!r}")
    return value[0], value[1]


LONGEST_WINDOW = 1 << 20
LARGE_FOOTPRINT = 1 << 16  # bytes; checks of larger footprints are not cached


def window(size: Any, *, odd: bool = False) -> tuple[int, int]:
    """Check a window's size: a positive integer, or two for rows and columns."""
    rows, cols = (whole("size", part, high=LONGEST_WINDOW) for part in pair("size", size))
    if odd and not (rows % 2 and cols % 2):
        raise ValueError(f"size must be odd and positive, got {size!r}")
    return rows, cols


def footprint(value: Any) -> Array | tuple[int, int]:
    """Check a footprint: a window's size, or a two-dimensional array of zeros and ones with at least one 1."""
    if not hasattr(value, "ndim") and not _nested(value):
        rows, cols = (whole("footprint", part, high=LONGEST_WINDOW) for part in pair("footprint", value))
        return rows, cols
    array = np.asarray(value)
    if array.ndim == 0:
        return footprint(array.item())
    if array.ndim != 2:
        raise ValueError(f"footprint must be a size or a two-dimensional array, got shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError("footprint must hold zeros and ones only")
    if array.nbytes > LARGE_FOOTPRINT:
        return _checked_footprint(array)
    return _known_footprint(array.shape, array.dtype, array.tobytes())


@kept(64, lambda checked: checked.nbytes if isinstance(checked, np.ndarray) else 0)
def _known_footprint(shape: tuple[int, int], dtype: np.dtype[Any], content: bytes) -> Array | tuple[int, int]:
    checked = _checked_footprint(np.frombuffer(content, dtype).reshape(shape))
    return checked.astype(np.uint8) if isinstance(checked, np.ndarray) else checked


def _checked_footprint(array: Array) -> Array | tuple[int, int]:
    """Check a footprint and return it, or its size if all elements are ones; row by row, as it may be large."""
    ones = 0
    for row in array:
        count = int(np.count_nonzero(row == 1))
        if count + np.count_nonzero(row == 0) < row.size:
            raise ValueError("footprint must hold zeros and ones only")
        ones += count
    if ones == 0:
        raise ValueError(f"footprint must hold at least one 1, got shape {array.shape} without any")
    return (array.shape[0], array.shape[1]) if ones == array.size else array


def _nested(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(row, list | tuple) for row in value)


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], like: Any) -> None:
    """Check an output array for a result of ``shape`` and ``dtype``; ``like`` is the image's array."""
    if not isinstance(out, type(like)):
        raise TypeError(f"out must be a {type(like).__module__}.{type(like).__name__}, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have the shape {shape}, got {out.shape}")
    if out.dtype != dtype:
        raise TypeError(f"out must have the dtype {dtype}, got {out.dtype}")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError("out must be writable, got a read-only array")
