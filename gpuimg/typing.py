"""Types of the public functions' parameters; the closed sets of values are written here only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

Mode = Literal["reflect", "nearest", "mirror", "wrap", "constant"]
MorphologyMode = Literal[Mode, "ignore"]
# What a filter does with an alpha channel, see `gpuimg.plans.alpha`.
Treatment = Literal["channel", "kept", "weighed", "dropped"]
Backend = Literal["auto", "single", "multicore", "processes", "cuda"]
BoundaryMode = Literal["thick", "inner", "outer"]
OverlayKind = Literal["overlay", "avg"]
Method = Literal["dilation", "erosion"]
SkeletonMethod = Literal["zhang"]
LocalMethod = Literal["gaussian", "mean", "median"]
NanPolicy = Literal["propagate", "omit"]
# How an image is interpolated: at any place, and on a regular grid.
Order = Literal[0, 1, 3]
GridOrder = Literal[Order, "lanczos"]
Array = np.ndarray[Any, Any]


class SupportsDLPack(Protocol):
    """An array that other libraries can take over without a copy, such as a torch tensor."""

    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, Any]: ...


class SupportsCudaArray(Protocol):
    """An array in GPU memory, such as CuPy's."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...


ImageLike: TypeAlias = "Array | SupportsDLPack | SupportsCudaArray | Image"
# A filter that keeps the dtype returns the type that it takes.
SameImage = TypeVar("SameImage", bound="ImageLike")
# A name, or red, green and blue from 0 to 1.
Color: TypeAlias = "str | tuple[float, float, float]"
Out: TypeAlias = "Array | SupportsCudaArray"
Size: TypeAlias = "int | tuple[int, int]"
# At an image's edges: one number, (before, after), or ((top, bottom), (left, right)), which broadcast.
Widths: TypeAlias = "int | tuple[int, ...] | tuple[tuple[int, ...], ...]"
# A range of intensities: "image", "dtype", a dtype, or two numbers.
Intensities: TypeAlias = "str | np.dtype[Any] | type | tuple[float, float]"
Sigma: TypeAlias = "float | tuple[float, float]"
# A window's size, or zeros and ones as an array or nested lists.
FootprintLike: TypeAlias = "Size | Array | list[list[int]] | list[list[bool]]"
# Weights of a convolution, as an array or nested lists.
WeightsLike: TypeAlias = "Array | list[list[int]] | list[list[float]]"
# A projective transform of three rows and three columns, as an array or nested lists.
MatrixLike: TypeAlias = "Array | list[list[int]] | list[list[float]]"
