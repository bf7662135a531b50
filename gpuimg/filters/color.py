"""Conversions between colour spaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from gpuimg import images
from gpuimg.plans.nodes import point
from gpuimg.plans.value import Value
from gpuimg.registry import register
from gpuimg.run import run
from gpuimg.typing import Backend, ImageLike, Out, SameImage

Array = np.ndarray[Any, Any]

# Weights of red, green and blue in luminance (scikit-image's values) and in luma (ITU-R BT.601).
WEIGHTS = {
    "rec709": (0.2125, 0.7154, 0.0721),
    "rec601": (0.299, 0.587, 0.114),
}


def _luma_weights(weights: Any) -> tuple[float, float, float]:
    if isinstance(weights, str):
        if weights not in WEIGHTS:
            raise ValueError(f"weights must be {', '.join(WEIGHTS)} or three numbers, got {weights!r}")
        return WEIGHTS[weights]
    if not hasattr(weights, "__len__") or len(weights) != 3:
        raise ValueError(f"weights must be {', '.join(WEIGHTS)} or three numbers, got {weights!r}")
    red, green, blue = (images.number("weights", weight) for weight in weights)
    total = abs(red) + abs(green) + abs(blue)
    if total > 1024:
        raise ValueError(f"weights must sum to at most 1024 in magnitude, got {weights!r}")
    return red, green, blue


def fixed_weights(weights: tuple[float, ...], one: int) -> tuple[int, ...]:
    """Return weights in fixed point, as multiples of ``1 / one``; the largest absorbs the rounding error of the sum."""
    scaled = [round(weight * one) for weight in weights]
    largest = max(range(len(scaled)), key=lambda index: abs(weights[index]))
    scaled[largest] += round(math.fsum(weights) * one) - sum(scaled)
    return tuple(scaled)


@register({}, {"weights": "rec601"}, color=True)
def rgb2gray(
    image: ImageLike,
    weights: Literal["rec709", "rec601"] | Sequence[float] = "rec709",
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Convert an RGB image to grey: a weighted sum of red, green and blue.

    Parameters
    ----------
    image : (H, W, 3) or (H, W, 4) array
        A fourth channel is ignored.
    weights : {"rec709", "rec601"} or three numbers
        Weights of red, green and blue: ITU-R BT.709 luminance (as in scikit-image) or BT.601 luma (as in OpenCV).
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    (H, W) array of the image's dtype; integers are computed with 16-bit fixed-point weights, rounded half up and
    saturated.

    Raises
    ------
    ValueError : the image does not have three or four channels, or the weights are not three finite numbers

    References
    ----------
    .. [1] Recommendation ITU-R BT.709-6, item 3.2; ITU-R BT.601-7, item 2.5.1.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rgb2gray(np.array([[[255, 0, 0], [255, 255, 255]]], np.uint8))
    array([[ 54, 255]], dtype=uint8)
    """
    source = images.accept(image, color=True, axes=axes, alpha=alpha)
    shares = _luma_weights(weights)
    # The kernel skips a fourth channel.
    return run(plan_rgb2gray, source, shares, alpha="channel", backend=backend, out=out)


def plan_rgb2gray(image: Value, weights: tuple[float, float, float]) -> Value:
    q0, q1, q2 = fixed_weights(weights, 65536)
    w0, w1, w2 = weights
    shape = image.shape[:2]
    return point("rgb2gray", image, shape=shape, work=1.5, q0=q0, q1=q1, q2=q2, w0=w0, w1=w1, w2=w2)


# fmt: off
XYZ_FROM_RGB = np.array([  # sRGB with the white point D65, in scikit-image's digits
    [0.412453, 0.357580, 0.180423],
    [0.212671, 0.715160, 0.072169],
    [0.019334, 0.119193, 0.950227],
])
YCBCR_FROM_RGB = np.array([
    [ 65.481, 128.553,  24.966],
    [-37.797, -74.203, 112.0  ],
    [112.0,   -93.786, -18.214],
])
# fmt: on
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65 (2-degree observer, 1931)
YCBCR_OFFSETS = np.array([16.0, 128.0, 128.0])
NOTHING = np.zeros(3)


def _converted(kernel: str, image: Value, work: float, **tables: Any) -> Value:
    """Convert three channels to floats; kernels scale integers by their dtype's maximum."""
    return point(kernel, image, dtype=images.real(image.dtype), work=work, **tables)


def plan_rgb2hsv(image: Value) -> Value:
    return _converted("rgb2hsv", image, 4.0)


def plan_hsv2rgb(image: Value) -> Value:
    return _converted("hsv2rgb", image, 4.0)


def plan_rgb2ycbcr(image: Value) -> Value:
    return _converted("color_matrix", image, 3.0, before=NOTHING, matrix=YCBCR_FROM_RGB, after=YCBCR_OFFSETS)


def plan_ycbcr2rgb(image: Value) -> Value:
    matrix = np.linalg.inv(YCBCR_FROM_RGB)
    return _converted("color_matrix", image, 3.0, before=-YCBCR_OFFSETS, matrix=matrix, after=NOTHING)


def plan_rgb2lab(image: Value) -> Value:
    return _converted("rgb2lab", image, 12.0, matrix=XYZ_FROM_RGB / WHITE[:, None])


def plan_lab2rgb(image: Value) -> Value:
    return _converted("lab2rgb", image, 14.0, matrix=np.linalg.inv(XYZ_FROM_RGB) * WHITE)


@register(color=True)
def rgb2hsv(
    image: ImageLike,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Convert RGB to HSV.

    Parameters
    ----------
    image : (H, W, 3) array
        Integers are scaled by the dtype's maximum; floats range from 0 to 1.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images). Hue ranges from 0 (red) through 1/3 (green) and 2/3
    (blue) to 1, and is 0 for grey. Saturation and value range from 0 to 1.

    Raises
    ------
    ValueError : the image does not have three channels

    References
    ----------
    .. [1] A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978, 12-19. The same as `skimage.color.rgb2hsv`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rgb2hsv(np.array([[[0, 255, 0], [102, 102, 102]]], np.uint8)).round(2)
    array([[[0.33, 1.  , 1.  ],
            [0.  , 0.  , 0.4 ]]], dtype=float32)
    """
    source = images.accept(image, channels=3, axes=axes, alpha=alpha)
    return run(plan_rgb2hsv, source, backend=backend, out=out)


@register(color=True, kinds="f")
def hsv2rgb(
    image: SameImage,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Convert HSV to RGB.

    Parameters
    ----------
    image : (H, W, 3) array of float32 or float64, from 0 to 1; hues outside this range wrap around
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype, from 0 to 1

    Raises
    ------
    ValueError : the image does not have three channels

    References
    ----------
    .. [1] A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978, 12-19. The same as `skimage.color.hsv2rgb`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.hsv2rgb(np.array([[[0.5, 1, 0.8]]]))
    array([[[0. , 0.8, 0.8]]])
    """
    source = images.accept(image, images.FLOATS, channels=3, axes=axes, alpha=alpha)
    return run(plan_hsv2rgb, source, backend=backend, out=out)


@register(color=True)
def rgb2ycbcr(
    image: ImageLike,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Convert RGB to YCbCr (studio swing).

    Parameters
    ----------
    image : (H, W, 3) array
        Integers are scaled by the dtype's maximum; floats range from 0 to 1.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images): Y from 16 to 235, Cb and Cr from 16 to 240

    Raises
    ------
    ValueError : the image does not have three channels

    References
    ----------
    .. [1] Recommendation ITU-R BT.601-7. The same as `skimage.color.rgb2ycbcr`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rgb2ycbcr(np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8)).round(1)
    array([[[235. , 128. , 128. ],
            [ 81.5,  90.2, 240. ]]], dtype=float32)
    """
    source = images.accept(image, channels=3, axes=axes, alpha=alpha)
    return run(plan_rgb2ycbcr, source, backend=backend, out=out)


@register(color=True, kinds="f")
def ycbcr2rgb(
    image: SameImage,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Convert YCbCr (studio swing) to RGB.

    Parameters
    ----------
    image : (H, W, 3) array of float32 or float64: Y from 16 to 235, Cb and Cr from 16 to 240
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype, from 0 to 1; colours outside the RGB gamut are outside this range

    Raises
    ------
    ValueError : the image does not have three channels

    References
    ----------
    .. [1] Recommendation ITU-R BT.601-7. The same as `skimage.color.ycbcr2rgb`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> (gpuimg.ycbcr2rgb(np.array([[[235.0, 128, 128]]])) * 100).round()
    array([[[100., 100., 100.]]])
    """
    source = images.accept(image, images.FLOATS, channels=3, axes=axes, alpha=alpha)
    return run(plan_ycbcr2rgb, source, backend=backend, out=out)


@register(color=True)
def rgb2lab(
    image: ImageLike,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> Any:
    """Convert sRGB to CIE L*a*b*, a perceptually uniform colour space.

    Parameters
    ----------
    image : (H, W, 3) array
        Integers are scaled by the dtype's maximum; floats range from 0 to 1.
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    float32 array of the same shape (float64 for float64 images): L* from 0 to 100, a* (green to red) and b* (blue to
    yellow) from about -107 to 98. The white point is D65 (2-degree observer, 1931).

    Raises
    ------
    ValueError : the image does not have three channels

    References
    ----------
    .. [1] CIE 15:2004, "Colorimetry"; IEC 61966-2-1:1999 (sRGB). The same as `skimage.color.rgb2lab`.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rgb2lab(np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8)).round(1)
    array([[[ 0. ,  0. ,  0. ],
            [53.2, 80.1, 67.2]]], dtype=float32)
    """
    source = images.accept(image, channels=3, axes=axes, alpha=alpha)
    return run(plan_rgb2lab, source, backend=backend, out=out)


@register(color=True, kinds="f")
def lab2rgb(
    image: SameImage,
    *,
    axes: str | None = None,
    alpha: bool | None = None,
    backend: Backend | None = None,
    out: Out | None = None,
) -> SameImage:
    """Convert CIE L*a*b* to sRGB.

    Parameters
    ----------
    image : (H, W, 3) array of float32 or float64: L* from 0 to 100, a* and b* from about -107 to 98
    axes, alpha, backend, out : see `gpuimg.filters`

    Returns
    -------
    array of the same shape and dtype, from 0 to 1; colours outside the sRGB gamut are clipped

    Raises
    ------
    ValueError : the image does not have three channels

    References
    ----------
    .. [1] CIE 15:2004, "Colorimetry"; IEC 61966-2-1:1999 (sRGB). The same as `skimage.color.lab2rgb`, which warns
       where Z would be negative.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.lab2rgb(np.array([[[53.2, 80.1, 67.2]]])).round(2)
    array([[[1., 0., 0.]]])
    """
    source = images.accept(image, images.FLOATS, channels=3, axes=axes, alpha=alpha)
    return run(plan_lab2rgb, source, backend=backend, out=out)
