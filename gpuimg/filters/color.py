"""Between colour spaces."""

from __future__ import annotations

import math
from typing import Any

from gpuimg import images
from gpuimg.passes import Sweep
from gpuimg.registry import register
from gpuimg.run import run

# Weights of red, green and blue in luminance (scikit-image's figures) and in luma (ITU-R BT.601).
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
    """Weights as whole multiples of ``1 / one``; the greatest takes up what rounding left, so that their sum stays."""
    scaled = [round(weight * one) for weight in weights]
    greatest = max(range(len(scaled)), key=lambda index: abs(weights[index]))
    scaled[greatest] += round(math.fsum(weights) * one) - sum(scaled)
    return tuple(scaled)


@register({}, {"weights": "rec601"}, color=True)
def rgb2gray(image: Any, weights: Any = "rec709", *, backend: str | None = None, out: Any = None) -> Any:
    """Weigh red, green and blue into one channel.

    Parameters
    ----------
    image : (H, W, 3) or (H, W, 4) array
        The fourth channel, if any, is not looked at.
    weights : {"rec709", "rec601"} or three numbers
        Shares of red, green and blue: ITU-R BT.709 luminance (as scikit-image), BT.601 luma (as OpenCV), or your own.
    backend, out : see `gpuimg.filters`

    Returns
    -------
    (H, W) array of the image's dtype; integers rounded half up from 16-bit fixed-point weights and saturated.

    Raises
    ------
    ValueError : the image has no three or four channels, or the weights are not three finite numbers

    References
    ----------
    .. [1] Recommendation ITU-R BT.709-6, item 3.2; ITU-R BT.601-7, item 2.5.1.

    Examples
    --------
    >>> import numpy as np, gpuimg
    >>> gpuimg.rgb2gray(np.array([[[255, 0, 0], [255, 255, 255]]], np.uint8))
    array([[ 54, 255]], dtype=uint8)
    """
    source = images.accept(image, color=True)
    shares = _luma_weights(weights)
    args = (source.channels, *fixed_weights(shares, 65536), *shares)
    return run(source, [Sweep("rgb2gray", args, shape=source.shape[:2], work=1.5)], backend=backend, out=out)
