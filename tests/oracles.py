"""The independent definition of every filter, from NumPy, SciPy and scikit-image, in float64.

Nothing here imports gpuimg. `ORACLES` maps a filter's name to a function of the same arguments; integer images are
rounded half to even and saturated once, at the end.
"""

import functools
import heapq
import itertools
import math
import warnings

import numpy as np
from scipy import ndimage
from skimage import color, exposure, feature, filters, measure, morphology, segmentation, transform, util
from skimage.exposure.exposure import intensity_range


def stored(values, dtype):
    """float64 values in the dtype of the result."""
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    if np.dtype(dtype).kind == "b":
        return np.clip(np.rint(values), 0, 1).astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.rint(values), info.min, info.max).astype(dtype)


def each_channel(oracle):
    """Call an oracle for two-dimensional images with each channel independently."""

    @functools.wraps(oracle)
    def per_channel(image, *args, axes=None, **kwargs):
        if image.ndim == 2:
            return oracle(image, *args, **kwargs)
        planes = [oracle(image[..., channel], *args, **kwargs) for channel in range(image.shape[2])]
        return np.stack(planes, axis=-1)

    return per_channel


LUMA = {"rec709": (0.2125, 0.7154, 0.0721), "rec601": (0.299, 0.587, 0.114)}


def rgb2gray(image, weights="rec709"):
    shares = np.array(LUMA.get(weights, weights) if isinstance(weights, str) else weights)
    return stored(image[..., :3].astype(np.float64) @ shares, image.dtype)


def _color(convert):
    def converted(image):
        plain = image.astype(np.float64) if image.dtype.kind == "f" else util.img_as_float64(image)
        with np.errstate(invalid="ignore"):
            return convert(plain).astype(_real(image))

    return converted


def _hsv2rgb(image):
    image[..., 0] %= 1  # scikit-image takes other hues for other colours
    return color.hsv2rgb(image)


rgb2hsv, hsv2rgb = _color(color.rgb2hsv), _color(_hsv2rgb)
rgb2ycbcr, ycbcr2rgb = _color(color.rgb2ycbcr), _color(color.ycbcr2rgb)
rgb2lab, lab2rgb = _color(color.rgb2lab), _color(color.lab2rgb)


def invert(image):
    return util.invert(image)


def adjust_gamma(image, gamma=1, gain=1):
    scale = 1.0 if image.dtype.kind == "f" else float(np.iinfo(image.dtype).max)
    return stored(gain * scale * (image.astype(np.float64) / scale) ** gamma, image.dtype)


def blend(image, other, alpha):
    return stored((1 - alpha) * image.astype(np.float64) + alpha * other.astype(np.float64), image.dtype)


def _arithmetic(operation):
    def computed(image, other, dtype=None):
        wanted = np.dtype(dtype or image.dtype)
        wide = np.float64 if np.float64 in (image.dtype, wanted) else np.float32
        with np.errstate(all="ignore"):
            found = operation(image.astype(wide), np.asarray(other).astype(wide))
        if wanted.kind == "f":
            return found.astype(wanted)
        return stored(np.nan_to_num(found, nan=0.0, posinf=1e30, neginf=-1e30), wanted)

    return computed


def where(condition, a, b, dtype=None):
    images = [each for each in (a, b) if np.ndim(each)]
    if images:
        wanted = images[0].dtype if dtype is None else np.dtype(dtype)
    else:
        wanted = np.dtype(dtype or np.result_type(np.min_scalar_type(a), np.min_scalar_type(b)))
    held = condition if not images or condition.ndim == images[0].ndim else condition[..., None]
    if wanted.kind == "c":
        return np.where(held, a, b).astype(wanted)
    kept = [
        each if getattr(each, "dtype", None) == wanted else stored(np.asarray(each, np.float64), wanted)
        for each in (a, b)
    ]
    return np.where(held, *kept)


def lut(image, table):
    return np.asarray(table)[image]


def clip(image, min=-np.inf, max=np.inf):
    if image.dtype.kind == "f":
        return np.clip(image, image.dtype.type(min), image.dtype.type(max))
    info = np.iinfo(image.dtype)
    low, high = np.clip((np.ceil(min), np.floor(max)), info.min, info.max)
    return np.clip(image.astype(np.float64), low, high).astype(image.dtype)


def threshold(image, value):
    return image > value


@each_channel
def gaussian(image, sigma=1, *, truncate=4.0, nan="propagate", mode="reflect", cval=0):
    if nan == "omit" and image.dtype.kind == "f":
        return _gaussian_of_numbers(image, sigma, truncate, mode, cval)
    smooth = ndimage.gaussian_filter(image.astype(np.float64), sigma, truncate=truncate, mode=mode, cval=cval)
    return stored(smooth, image.dtype)


def _gaussian_of_numbers(image, sigma, truncate, mode, cval):
    """The Gaussian's weights, two-dimensional, in the window of every pixel; those of NaN are 0."""
    radii = [int(truncate * each + 0.5) for each in np.broadcast_to(sigma, 2)]
    impulse = np.zeros([2 * radius + 1 for radius in radii])
    impulse[tuple(radii)] = 1
    weights = ndimage.gaussian_filter(impulse, sigma, truncate=truncate, mode="constant")
    windows = _windows(image.astype(np.float64), impulse.shape, mode, cval)
    total = np.nansum(windows * weights, axis=(2, 3))
    share = np.where(np.isnan(windows), 0, weights).sum(axis=(2, 3))
    with np.errstate(invalid="ignore"):
        return (total / share).astype(image.dtype)


def _windows(image, size, mode, cval):
    """The window of every pixel, (H, W, rows, cols), by NumPy alone; its origin is SciPy's."""
    words = {"reflect": "symmetric", "nearest": "edge", "mirror": "reflect", "wrap": "wrap", "constant": "constant"}
    rows, cols = (size, size) if np.ndim(size) == 0 else size
    reach = [(rows // 2, rows - rows // 2 - 1), (cols // 2, cols - cols // 2 - 1)]
    options = {"constant_values": cval} if mode == "constant" else {}
    padded = np.pad(image, reach, words[mode], **options)
    return np.lib.stride_tricks.sliding_window_view(padded, (rows, cols))


def _quiet(function, windows):
    """A function of the numbers in each window, NaN where there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(windows, axis=(2, 3))


@each_channel
def uniform(image, size=3, *, nan="propagate", mode="reflect", cval=0):
    windows = _windows(image, size, mode, cval)
    if nan == "omit" and image.dtype.kind == "f":
        return _quiet(np.nanmean, windows.astype(np.float64)).astype(image.dtype)
    if image.dtype.kind == "f":
        return windows.mean(axis=(2, 3), dtype=np.float64).astype(image.dtype)
    total = windows.sum(axis=(2, 3), dtype=np.int64)
    area = windows.shape[2] * windows.shape[3]
    low, rest = np.divmod(total, area)
    up = (2 * rest > area) | ((2 * rest == area) & (low % 2 == 1))
    return (low + up).astype(image.dtype)


def _ranked(image, size, rank, mode, cval):
    """The value with so many others of the window before it; NaN if there is any."""
    windows = _windows(image, size, mode, cval)
    flat = np.sort(windows.reshape(*image.shape, -1), axis=-1)  # NaN sorts to the end
    found = flat[..., rank(flat.shape[-1])]
    return np.where(flat[..., -1] != flat[..., -1], flat[..., -1], found) if image.dtype.kind == "f" else found


@each_channel
def median(image, size=3, *, nan="propagate", mode="reflect", cval=0):
    if nan == "omit" and image.dtype.kind == "f":
        return _quiet(np.nanmedian, _windows(image, size, mode, cval).astype(np.float64)).astype(image.dtype)
    return _ranked(image, size, lambda count: count // 2, mode, cval)


@each_channel
def percentile(image, percentile, size=3, *, nan="propagate", mode="reflect", cval=0):
    share = percentile % 100 if percentile < 100 else 100
    if nan == "omit" and image.dtype.kind == "f":
        flat = np.sort(_windows(image, size, mode, cval).reshape(*image.shape, -1))
        numbers = np.count_nonzero(flat == flat, axis=-1)
        places = np.clip((numbers * share / 100).astype(int), 0, np.maximum(numbers - 1, 0))
        return np.take_along_axis(flat, places[..., None], -1)[..., 0]
    return _ranked(image, size, lambda count: min(int(count * share / 100), count - 1), mode, cval)


def _compared(image, size, mode, cval, which):
    """`_windows` of which the minimum (maximum) is taken; with "ignore" what is outside never is."""
    if mode != "ignore":
        return _windows(image, size, mode, cval)
    if image.dtype.kind == "f":
        ends = (-np.inf, np.inf)
    else:
        ends = (False, True) if image.dtype.kind == "b" else (np.iinfo(image.dtype).min, np.iinfo(image.dtype).max)
    return _windows(image, size, "constant", ends[which == "minimum"])


@each_channel
def convolve(image, weights, *, mode="reflect", cval=0):
    """A weighted sum of windows; a weight of zero is left out."""
    turned = np.asarray(weights, np.float64)[::-1, ::-1]
    flipped = _windows(image[::-1, ::-1], turned.shape, mode, cval)[::-1, ::-1, ::-1, ::-1].astype(np.float64)
    return stored(flipped[..., turned != 0] @ turned[turned != 0], image.dtype)


def bilateral(image, sigma_color, sigma_spatial, window=None, *, mode="reflect", cval=0):
    """The mean of the windows, with the product of two Gaussians as weights; what is not finite has none."""
    side = window or max(5, 2 * int(np.ceil(3 * sigma_spatial)) + 1)
    planes = image.astype(np.float64).reshape(*image.shape[:2], -1)
    windows = np.stack([_windows(plane, side, mode, cval) for plane in np.moveaxis(planes, -1, 0)], axis=-1)
    offsets = np.arange(side) - side // 2
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.add.outer(*2 * [np.square(offsets / sigma_spatial)])
        unlike = np.square((windows - planes[:, :, None, None]) / sigma_color).sum(axis=-1)
    weights = np.where(np.isfinite(unlike), np.exp(-(far + unlike) / 2), 0)[..., None]
    totals = np.where(weights > 0, windows, 0) * weights
    with np.errstate(invalid="ignore"):
        means = totals.sum(axis=(2, 3)) / weights.sum(axis=(2, 3))
    means = np.where(np.isfinite(planes).all(axis=-1, keepdims=True), means, planes)
    return stored(means.reshape(image.shape), image.dtype)


def denoise_nl_means(image, patch_size=7, patch_distance=11, h=0.1, fast_mode=True, sigma=0):
    """The mean of all shifted images, weighted by the distances of patches; of pixels that are not finite, themselves.

    As in scikit-image, patches lack their first row and column, but count as if they had them.
    """
    planes = image.astype(np.float64).reshape(*image.shape[:2], -1)
    half, (rows, cols, channels) = patch_size // 2, planes.shape
    reach = half + patch_distance
    padded = np.pad(planes, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    totals, weights = np.zeros_like(planes), np.zeros((rows, cols, 1))
    inner = padded[patch_distance : -patch_distance or None, patch_distance : -patch_distance or None]
    for down, along in np.ndindex(2 * patch_distance + 1, 2 * patch_distance + 1):
        shifted = padded[down : down + rows + 2 * half, along : along + cols + 2 * half]
        with np.errstate(invalid="ignore", over="ignore"):
            squares = np.square((inner - shifted) / h).sum(axis=2)
        sums = np.lib.stride_tricks.sliding_window_view(squares[1:, 1:], (2 * half, 2 * half)).sum(axis=(2, 3))
        unlike = np.maximum(sums - 2 * (sigma / h) ** 2 * channels * (2 * half) ** 2, 0)
        unlike /= channels * (2 * half + 1) ** 2
        is_centre = down == along == patch_distance
        weight = np.where(is_centre | (unlike <= 5), np.exp(0 if is_centre else -unlike), 0)[..., None]
        others = shifted[half : half + rows, half : half + cols]
        with np.errstate(invalid="ignore"):
            totals += np.where(weight > 0, others * weight, 0)
        weights += weight
    return stored((totals / weights).reshape(image.shape), image.dtype)


@each_channel
def minimum(image, size=3, *, mode="reflect", cval=0):
    return _compared(image, size, mode, cval, "minimum").min(axis=(2, 3))


@each_channel
def maximum(image, size=3, *, mode="reflect", cval=0):
    return _compared(image, size, mode, cval, "maximum").max(axis=(2, 3))


def _as_footprint(footprint):
    if np.ndim(footprint) < 2:
        return np.ones((footprint, footprint) if np.ndim(footprint) == 0 else footprint, bool)
    return np.asarray(footprint).astype(bool)


# SciPy's grey morphology, defined by NumPy: for footprints much larger than the image SciPy 1.17 itself gives values
# that the image does not hold.
@each_channel
def erosion(image, footprint=3, *, mode="reflect", cval=0):
    under = _as_footprint(footprint)
    return _compared(image, under.shape, mode, cval, "minimum")[..., under].min(axis=-1)


@each_channel
def dilation(image, footprint=3, *, mode="reflect", cval=0):
    under = _as_footprint(footprint)[::-1, ::-1]
    windows = _compared(image[::-1, ::-1], under.shape, mode, cval, "maximum")
    return windows[..., under[::-1, ::-1]].max(axis=-1)[::-1, ::-1]


@each_channel
def sobel(image, axis=None, *, mode="reflect", cval=0):
    dtype = np.float64 if image.dtype == np.float64 else np.float32
    return filters.sobel(image.astype(np.float64), axis=axis, mode=mode, cval=cval).astype(dtype)


def histogram(image, bins=256):
    return np.histogram(image, bins)


def threshold_otsu(image, nbins=256):
    return filters.threshold_otsu(image, nbins)


def threshold_yen(image, nbins=256):
    return image.flat[0] if np.ptp(image) == 0 else filters.threshold_yen(image, nbins)


def threshold_triangle(image, nbins=256):
    return filters.threshold_triangle(image, nbins)


def threshold_li(image, **given):
    return filters.threshold_li(image if image.dtype.kind == "f" else image.astype(np.int64), **given)


def threshold_multiotsu(image, classes=3, nbins=256):
    """By dynamic programming over all pairs of bins: scikit-image takes 8 GiB for 16 bits, and rounds to float32."""
    counts, centers = exposure.histogram(image.ravel(), nbins)
    bins = np.flatnonzero(counts)
    numbers, sums = (np.append(0.0, np.cumsum(each[bins])) for each in (counts, counts * np.arange(len(counts))))
    best, ends = (sums[-1] - sums[:-1]) ** 2 / (numbers[-1] - numbers[:-1]), []
    for _ in range(classes - 1):
        found, end = np.full(len(best) - 1, -np.inf), np.zeros(len(best) - 1, int)
        for first in range(len(found)):
            after = slice(first + 1, len(best))
            score = (sums[after] - sums[first]) ** 2 / (numbers[after] - numbers[first]) + best[after]
            end[first] = first + 1 + np.argmax(score)
            found[first] = score.max()
        best = found
        ends.append(end)
    chosen = [0]
    for end in ends[::-1]:
        chosen.append(end[chosen[-1]])
    return centers[bins[np.array(chosen[1:]) - 1]].astype(image.dtype)


def match_histograms(image, reference):
    planes = (image[..., None], reference[..., None]) if image.ndim == 2 else (image, reference)
    pairs = zip(*[np.moveaxis(each, 2, 0) for each in planes], strict=True)
    matched = [stored(exposure.match_histograms(one, other), image.dtype) for one, other in pairs]
    return matched[0] if image.ndim == 2 else np.stack(matched, axis=2)


@each_channel
def equalize_adapthist(image, kernel_size=None, clip_limit=0.01):
    """scikit-image's, but with shares of 16 bits and tiles within the image; in float32 for all but float64."""
    if image.size == 0:
        return image.copy()
    rows, cols = np.minimum(kernel_size or np.maximum(np.array(image.shape) // 8, 1), image.shape)
    bins, area = _bins_of_253(image), rows * cols
    down, across = -(-image.shape[0] // rows), -(-image.shape[1] // cols)
    overhang = (0, down * rows - image.shape[0]), (0, across * cols - image.shape[1])
    tiles = np.pad(bins, overhang, mode="reflect").reshape(down, rows, across, cols).swapaxes(1, 2)
    tables = np.empty((down, across, 256), np.float32)
    for place in np.ndindex(down, across):
        counts = np.bincount(tiles[place].ravel(), minlength=256)
        limit = max(int(clip_limit * area), 1) if clip_limit > 0 else area
        tables[place] = np.minimum(_clipped(counts, limit).cumsum() / area, 1) * 65535
    y, x = np.arange(image.shape[0])[:, None] + rows // 2, np.arange(image.shape[1]) + cols // 2
    below, right = (np.float32(at % side) / np.float32(side) for at, side in ((y, rows), (x, cols)))
    ys = np.maximum(y // rows - 1, 0), np.minimum(y // rows, down - 1)
    xs = np.maximum(x // cols - 1, 0), np.minimum(x // cols, across - 1)
    (one, two), (three, four) = ([tables[at_y, at_x, bins] for at_x in xs] for at_y in ys)
    left, other = one + (three - one) * below, two + (four - two) * below
    number = np.float64 if image.dtype == np.float64 else np.float32
    shares = np.rint(left + (other - left) * right).astype(number)
    low, high = (0, 1) if image.dtype.kind == "f" else (int(np.iinfo(image.dtype).min), int(np.iinfo(image.dtype).max))
    if np.ptp(shares) == 0:
        return np.full(image.shape, high, image.dtype)
    factor = number(float(high - low) / float(np.ptp(shares)))
    return stored((shares - shares.min()) * factor + number(low), image.dtype)


def _bins_of_253(image):
    number = np.dtype(image.dtype if image.dtype.kind == "f" else np.float64).type
    above = image.astype(number) - number(image.min())
    span = float(image.max()) - float(image.min()) or 1.0
    if image.dtype.kind == "f":
        return np.rint(above * number(16383 / 65 / span) + number(0.5 / 65 - 0.5)).clip(0).astype(int)
    return np.rint(above * 16383 / span).astype(int) // 65


def _clipped(counts, limit):
    """scikit-image's way to spread what lies above the limit."""
    excess = np.maximum(counts - limit, 0).sum()
    counts = np.minimum(counts, limit)
    share = excess // 256
    more = np.where(counts < limit - share, counts + share, counts)
    more[(more >= limit - share) & (more < limit)] = limit
    excess -= (more - counts).sum()
    given = 1
    while excess > 0 and given:
        given = 0
        for first in range(256):
            step = max(1, np.count_nonzero(more < limit) // excess)
            chosen = np.arange(first, 256, step)[more[first::step] < limit]
            more[chosen] += 1
            given += len(chosen)
            excess -= len(chosen)
            if excess <= 0:
                break
    return more


@each_channel
def equalize_hist(image):
    if image.dtype.kind == "f":
        return exposure.equalize_hist(image).astype(image.dtype)
    info = np.iinfo(image.dtype)
    values, places, counts = np.unique(image, return_inverse=True, return_counts=True)
    share = np.cumsum(counts) / image.size
    spread = info.min + share * (int(info.max) - int(info.min))
    assert len(values) == len(spread)
    return stored(spread, image.dtype)[places].reshape(image.shape)


@each_channel
def resize(image, output_shape, order=1, anti_aliasing=None):
    if order == 0 and not anti_aliasing:
        return image.ravel()[_indices(image.shape, output_shape[:2])]
    if anti_aliasing is None:
        anti_aliasing = any(new < old for new, old in zip(output_shape, image.shape, strict=False))
    if order in KERNELS:
        sides = zip(image.shape, output_shape, strict=False)
        down, along = (_convolution(length, wanted, order, anti_aliasing) for length, wanted in sides)
        return stored(down @ image.astype(np.float64) @ along.T, image.dtype)
    resized = transform.resize(
        image.astype(np.float64),
        output_shape[:2],
        order=order,
        mode="reflect",
        anti_aliasing=anti_aliasing,
        preserve_range=True,
        clip=False,
    )
    return stored(resized, image.dtype)


def _keys(x):
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


KERNELS = {3: (2, _keys), "lanczos": (3, lambda x: np.sinc(x) * np.sinc(x / 3) if abs(x) < 3 else 0.0)}


def _convolution(length, wanted, order, widened):
    """The matrix that resizes a mirrored column of samples by a kernel."""
    radius, kernel = KERNELS[order]
    scale = max(1, length / wanted) if widened else 1
    matrix = np.zeros((wanted, length))
    for row in range(wanted):
        middle = (row + 0.5) * length / wanted - 0.5
        for sample in range(math.floor(middle - radius * scale), math.ceil(middle + radius * scale) + 1):
            place = abs(sample) % max(2 * length - 2, 1)
            matrix[row, min(place, 2 * length - 2 - place)] += kernel((sample - middle) / scale)
    return matrix / matrix.sum(axis=1, keepdims=True)


def pyramid_reduce(image, downscale=2, sigma=None, order=1, mode="reflect", cval=0):
    smooth = gaussian(image.astype(np.float64), 2 * downscale / 6 if sigma is None else sigma, mode=mode, cval=cval)
    shape = [math.ceil(side / downscale) for side in image.shape[:2]]
    return stored(resize(smooth, shape, order, False), image.dtype)


def pyramid_expand(image, upscale=2, sigma=None, order=1, mode="reflect", cval=0):
    shape = [math.ceil(side * upscale) for side in image.shape[:2]]
    large = resize(image.astype(np.float64), shape, order, False)
    return stored(gaussian(large, 2 * upscale / 6 if sigma is None else sigma, mode=mode, cval=cval), image.dtype)


@each_channel
def rescale(image, scale, order=1, anti_aliasing=None):
    expected = transform.rescale(image.astype(np.float64), scale, order=0, anti_aliasing=False).shape
    return resize(image, expected, order, anti_aliasing)


def _indices(shape, output_shape):
    """Which pixel is the nearest to each of another number of pixels, by scikit-image."""
    numbered = np.arange(shape[0] * shape[1], dtype=np.float64).reshape(shape)
    return transform.resize(numbered, output_shape, order=0, mode="reflect", anti_aliasing=False).astype(np.int64)


def astype(image, dtype, scale=False):
    dtype = np.dtype(dtype)
    if scale:
        return _spread(image, dtype)
    if dtype.kind in "bf":
        return image.astype(dtype)
    info = np.iinfo(dtype)
    plain = np.rint(np.where(np.isnan(image), 0, image)) if image.dtype.kind == "f" else image.astype(np.int64)
    return np.clip(plain.astype(np.longdouble), info.min, info.max).astype(dtype)


def _spread(image, dtype):
    if image.dtype.kind == "f" and dtype.kind in "ui":
        image = np.clip(np.where(np.isnan(image), 0, image), -1, 1).astype(image.dtype)
    if image.dtype.kind in "ui" and dtype.kind in "ui" and image.dtype != dtype:  # scikit-image rounds down
        most, wanted = np.iinfo(image.dtype).max, np.iinfo(dtype).max
        return stored(np.maximum(image, 0).astype(np.float64) * wanted / most, dtype)
    words = {"uint8": "ubyte", "uint16": "uint", "int16": "int"}
    return getattr(util, f"img_as_{words.get(dtype.name, dtype.name)}")(image)


def _real(image):
    return np.float64 if image.dtype == np.float64 else np.float32


@each_channel
def scharr(image, axis=None, *, mode="reflect", cval=0):
    return filters.scharr(image.astype(np.float64), axis=axis, mode=mode, cval=cval).astype(_real(image))


@each_channel
def prewitt(image, axis=None, *, mode="reflect", cval=0):
    return filters.prewitt(image.astype(np.float64), axis=axis, mode=mode, cval=cval).astype(_real(image))


@each_channel
def _direction(image, *, mode, cval):
    plain = image.astype(np.float64)
    down, along = (filters.sobel(plain, axis=axis, mode=mode, cval=cval) for axis in (0, 1))
    return np.arctan2(down + 0.0, along + 0.0).astype(_real(image))  # no zero is negative


def gradient(image, *, mode="reflect", cval=0):
    return sobel(image, mode=mode, cval=cval), _direction(image, mode=mode, cval=cval)


@each_channel
def laplace(image, *, mode="reflect", cval=0):
    return ndimage.laplace(image.astype(np.float64), mode=mode, cval=cval).astype(_real(image))


@each_channel
def unsharp_mask(image, radius=1, amount=1, *, mode="reflect", cval=0):
    plain = image.astype(np.float64)
    smooth = ndimage.gaussian_filter(plain, radius, mode=mode, cval=cval)
    return stored(plain + amount * (plain - smooth), image.dtype)


@each_channel
def difference_of_gaussians(image, low_sigma, high_sigma=None, *, mode="reflect", cval=0):
    plain = image.astype(np.float64)
    difference = filters.difference_of_gaussians(plain, low_sigma, high_sigma, mode=mode, cval=cval)
    return difference.astype(_real(image))


@each_channel
def gaussian_laplace(image, sigma, *, truncate=4.0, mode="reflect", cval=0):
    """SciPy's; with mode "constant" of the image with the constant around it."""
    rows, cols = (math.ceil(truncate * part) + 1 for part in np.broadcast_to(sigma, 2))
    plain = image.astype(np.float64)
    if mode == "constant":
        plain = np.pad(plain, ((rows, rows), (cols, cols)), constant_values=cval)
    found = ndimage.gaussian_laplace(plain, sigma, truncate=truncate, mode="nearest" if mode == "constant" else mode)
    return (found[rows:-rows, cols:-cols] if mode == "constant" else found).astype(_real(image))


@each_channel
def threshold_local(image, block_size=3, method="gaussian", offset=0, *, param=None, mode="reflect", cval=0):
    plain = image.astype(np.float64)
    size = tuple(np.broadcast_to(block_size, 2).tolist())
    found = filters.threshold_local(plain, size, method, offset, mode, param, cval)
    return found.astype(_real(image))


def _mean_std(image, size, mode, cval):
    windows = _windows(image, size, mode, cval).astype(np.float64)
    return windows.mean(axis=(2, 3)), windows.std(axis=(2, 3))


@each_channel
def threshold_niblack(image, window_size=15, k=0.2, *, mode="mirror", cval=0):
    mean, std = _mean_std(image, window_size, mode, cval)
    return (mean - k * std).astype(_real(image))


@each_channel
def threshold_sauvola(image, window_size=15, k=0.2, r=None, *, mode="mirror", cval=0):
    mean, std = _mean_std(image, window_size, mode, cval)
    if r is None:
        r = 1.0 if image.dtype.kind == "f" else (np.iinfo(image.dtype).max - np.iinfo(image.dtype).min) / 2
    return (mean * (1 + k * (std / r - 1))).astype(_real(image))


def opening(image, footprint=3, *, mode="ignore", cval=0):
    edge = {"mode": mode, "cval": cval}
    return dilation(erosion(image, footprint, **edge), footprint, **edge)


def closing(image, footprint=3, *, mode="ignore", cval=0):
    edge = {"mode": mode, "cval": cval}
    return erosion(dilation(image, footprint, **edge), footprint, **edge)


def _difference(one, other):
    return stored(one.astype(np.float64) - other, one.dtype)


def white_tophat(image, footprint=3, **edge):
    return _difference(image, opening(image, footprint, **edge))


def black_tophat(image, footprint=3, **edge):
    return _difference(closing(image, footprint, **edge), image)


def morphological_gradient(image, footprint=3, **edge):
    return _difference(dilation(image, footprint, **edge), erosion(image, footprint, **edge))


def rescale_intensity(image, in_range="image", out_range="dtype"):
    # In floats, for which scikit-image neither cuts off nor takes another dtype.
    given, wanted = (image.dtype.name if each == "dtype" else each for each in (in_range, out_range))
    low, high = map(float, intensity_range(image, given))
    least, most = map(float, intensity_range(image, wanted, clip_negative=low >= 0))
    dtype = (
        image.dtype
        if out_range in ("image", "dtype") or isinstance(out_range, tuple)
        else np.dtype("uint16" if out_range in ("uint10", "uint12", "uint14") else out_range)
    )
    return stored(exposure.rescale_intensity(image.astype(np.float64), (low, high), (least, most)), dtype)


def flip(image, axis):
    return np.flip(image, axis)


def _sample(image, rows, cols, order, mode, cval):
    """SciPy's interpolation in float64 of an image that goes on beyond its border."""
    if image.ndim == 3:
        planes = [_sample(image[..., c], rows, cols, order, mode, cval) for c in range(image.shape[2])]
        return np.stack(planes, axis=-1)
    rows, cols = rows.astype(np.float64), cols.astype(np.float64)
    if order == 3:
        return stored(_convolved(image.astype(np.float64), rows, cols, mode, cval), image.dtype)
    names = {"constant": "grid-constant", "wrap": "grid-wrap"}
    edge = {"mode": names.get(mode, mode), "order": order, "prefilter": False}
    if order == 0:  # SciPy rounds behind its folding, where some halves go down
        numbers = np.arange(image.size, dtype=np.float64).reshape(image.shape)
        places = [np.floor(rows + 0.5), np.floor(cols + 0.5)]
        found = ndimage.map_coordinates(numbers, places, cval=-1, **edge).astype(np.int64)
        return np.append(image.ravel(), np.array(cval, image.dtype))[found]
    return stored(ndimage.map_coordinates(image.astype(np.float64), [rows, cols], cval=cval, **edge), image.dtype)


def _convolved(image, rows, cols, mode, cval):
    """The sums of the sixteen pixels around each sample, weighed by their distances along both axes."""
    radius, kernel = KERNELS[3]
    weigh = np.vectorize(kernel, otypes=[np.float64])
    upper, left = np.floor(rows), np.floor(cols)
    total = np.zeros(rows.shape)
    for down, along in itertools.product(range(1 - radius, radius + 1), repeat=2):
        weights = weigh(upper + down - rows) * weigh(left + along - cols)
        total += weights * _sample(image, upper + down, left + along, 0, mode, cval)
    return total


def warp(image, matrix, output_shape=None, order=1, *, mode="constant", cval=0):
    matrix = np.asarray(matrix, np.float64)
    row, col = np.indices((output_shape or image.shape)[:2], np.float64)
    x, y, scale = (each[0] * col + (each[1] * row + each[2]) for each in matrix)
    return _sample(image, y / scale, x / scale, order, mode, cval)


def rotate(image, angle, resize=False, center=None, order=1, mode="constant", cval=0):
    """The matrix is found out from scikit-image, which rotates images of the coordinates."""
    rows, cols = image.shape[:2]
    around = np.array((cols, rows)) / 2 - 0.5 if center is None else np.array(center)
    forth, turn, back = (
        transform.SimilarityTransform(**each)
        for each in ({"translation": around}, {"rotation": np.deg2rad(angle)}, {"translation": -around})
    )
    inverse, shape = back + turn + forth, (rows, cols)
    if resize:
        shape = transform.rotate(np.zeros((rows, cols)), angle, True, center).shape
        corners = inverse.inverse([[0, 0], [0, rows - 1], [cols - 1, rows - 1], [cols - 1, 0]])
        inverse = transform.SimilarityTransform(translation=corners.min(axis=0)) + inverse
    return warp(image, inverse.params, shape, order, mode=mode, cval=cval)


def remap(image, rows, cols, order=1, mode="constant", cval=0):
    return _sample(image, rows, cols, order, mode, cval)


NUMPY_MODES = {"reflect": "symmetric", "nearest": "edge", "mirror": "reflect", "wrap": "wrap", "constant": "constant"}


@each_channel
def pad(image, pad_width, mode="constant", cval=0):
    return np.pad(image, pad_width, NUMPY_MODES[mode], **({"constant_values": cval} if mode == "constant" else {}))


@each_channel
def crop(image, crop_width):
    return util.crop(image, crop_width)


def rot90(image, k=1):
    return np.rot90(image, k)


@each_channel
def integral_image(image):
    return transform.integral_image(image, dtype=np.float64 if image.dtype.kind == "f" else np.int64)


@each_channel
def label(image, connectivity=2):
    return measure.label(image, background=0, connectivity=connectivity).astype(np.int32)


FOOTPRINTS = {1: ndimage.generate_binary_structure(2, 1), 2: ndimage.generate_binary_structure(2, 2)}


def reconstruction(seed, mask, method="dilation", connectivity=2):
    if seed.ndim == 3:
        planes = [reconstruction(seed[..., c], mask[..., c], method, connectivity) for c in range(seed.shape[2])]
        return np.stack(planes, axis=-1)
    made = morphology.reconstruction(seed.astype(np.float64), mask.astype(np.float64), method, FOOTPRINTS[connectivity])
    return made.astype(seed.dtype)


def watershed(image, markers, connectivity=1, mask=None):
    mask = np.ones(image.shape, bool) if mask is None else mask
    if image.ndim == 3:
        planes = [flooded(image[..., c], markers[..., c], connectivity, mask[..., c])[0] for c in range(image.shape[2])]
        return np.stack(planes, axis=-1)
    return flooded(image, markers, connectivity, mask)[0]


def flooded(image, markers, connectivity, mask):
    """Labels, levels and lengths by a heap in the order of level, length and label: who comes first, labels."""
    heights = {place: float(image[place]) for place in np.ndindex(image.shape) if mask[place]}
    heights = {place: height for place, height in heights.items() if height == height}
    reached = {place: int(markers[place]) for place in heights if markers[place]}
    heap = [(heights[place], 0, label, place) for place, label in reached.items()]
    heapq.heapify(heap)
    labels = np.zeros(image.shape, np.int32)
    levels, lengths = np.full(image.shape, np.inf), np.full(image.shape, np.inf)
    while heap:
        level, length, label, place = heapq.heappop(heap)
        labels[place], levels[place], lengths[place] = label, level, length
        for other in neighbours(place, connectivity):
            if other in heights and other not in reached:
                reached[other] = label
                height = heights[other]
                further = 1 if height > level else length + 2
                heapq.heappush(heap, (max(level, height), further, label, other))
    return labels, levels, lengths


def neighbours(place, connectivity):
    return [
        (place[0] + down, place[1] + along)
        for down in (-1, 0, 1)
        for along in (-1, 0, 1)
        if 1 <= abs(down) + abs(along) <= connectivity
    ]


@each_channel
def fill_holes(image, connectivity=1):
    if image.dtype == bool:
        return ndimage.binary_fill_holes(image, FOOTPRINTS[connectivity])
    seed = np.full_like(image, np.inf if image.dtype.kind == "f" else np.iinfo(image.dtype).max)
    for line in (np.s_[:1], np.s_[-1:], np.s_[:, :1], np.s_[:, -1:]):
        seed[line] = image[line]
    return reconstruction(seed, image, "erosion", connectivity)


@each_channel
def skeletonize(image, method="zhang"):
    return morphology.skeletonize(image != 0, method=method) if image.size else image != 0  # it refuses empty ones


@each_channel
def thin(image, max_num_iter=None):
    return morphology.thin(image != 0, max_num_iter) if image.size else image != 0


@each_channel
def distance_transform_edt(image):
    if np.all(image):
        return np.full(image.shape, np.inf, np.float32)
    return ndimage.distance_transform_edt(image).astype(np.float32)


@each_channel
def corner_harris(image, k=0.05, sigma=1, *, mode="constant", cval=0):
    weights = np.outer([-1, 0, 1], [1, 2, 1])
    plain = image.astype(np.float64)
    down, along = (ndimage.correlate(plain, each, mode=mode, cval=cval) for each in (weights, weights.T))
    products = (down * down, down * along, along * along)
    rows, mixed, cols = (ndimage.gaussian_filter(each, sigma, mode=mode, cval=0) for each in products)
    return (rows * cols - mixed**2 - k * (rows + cols) ** 2).astype(_real(image))


@each_channel
def canny(image, sigma=1, low_threshold=None, high_threshold=None, *, mode="constant", cval=0):
    if image.dtype.kind == "f":
        image, greatest = image.astype(np.float64), 1
    else:
        greatest = np.iinfo(image.dtype).max  # scikit-image divides the image by it, but not the constant
    return feature.canny(image, sigma, low_threshold, high_threshold, mode=mode, cval=cval / greatest)


@each_channel
def apply_hysteresis_threshold(image, low, high):
    return filters.apply_hysteresis_threshold(image, low, high)


@each_channel
def remove_small_objects(image, min_size=64, connectivity=1):
    objects = image
    if image.dtype == bool:
        objects, _ = ndimage.label(image, ndimage.generate_binary_structure(2, connectivity))
    _, inverse, counts = np.unique(objects, return_inverse=True, return_counts=True)
    return np.where(counts[inverse].reshape(image.shape) >= min_size, image, 0).astype(image.dtype)


def remove_small_holes(image, area_threshold=64, connectivity=1, axes=None):
    return ~remove_small_objects(image == 0, area_threshold, connectivity)


@each_channel
def find_boundaries(image, connectivity=1, mode="thick", background=0):
    return segmentation.find_boundaries(image, connectivity, mode, background)


@each_channel
def local_maxima(image, connectivity=None, allow_borders=True):
    if image.dtype.kind == "f":
        image = np.where(np.isnan(image), -np.inf, image)
    return morphology.local_maxima(image, connectivity=connectivity, allow_borders=allow_borders)


def peak_local_max(
    image,
    min_distance=1,
    threshold_abs=None,
    threshold_rel=None,
    exclude_border=True,
    num_peaks=np.inf,
    *,
    axes=None,
):
    """Peaks by the definition: candidates from the highest on, without those too close to one before."""
    plain = np.where(np.isnan(image), -np.inf, image).astype(np.float64)
    least = np.nanmin(image) if np.isfinite(plain).any() else np.inf
    threshold = least if threshold_abs is None else threshold_abs
    if threshold_rel is not None:
        threshold = max(threshold, float(threshold_rel * image.dtype.type(plain.max())))
    size = (2 * min_distance + 1, 2 * min_distance + 1, *(1,) * (image.ndim - 2))
    is_peak = (plain == ndimage.maximum_filter(plain, size, mode="nearest")) & (plain > threshold)
    if least == plain.max() and plain.size > 1:
        is_peak[:] = False
    if isinstance(exclude_border, bool):
        exclude_border = min_distance * exclude_border
    places = np.argwhere(is_peak)
    places = places[np.argsort(-plain[is_peak], kind="stable")]
    margins = np.broadcast_to(exclude_border, 2)
    inside = ((places[:, :2] >= margins) & (places[:, :2] < np.subtract(image.shape[:2], margins))).all(axis=1)
    kept = []
    for place in places[inside]:
        near = [each for each in kept if (each[2:] == place[2:]).all() and np.abs(each - place).max() < min_distance]
        if not near and len(kept) < num_peaks:
            kept.append(place)
    return np.array(kept, np.int64).reshape(-1, image.ndim)


@each_channel
def clear_border(labels, buffer_size=0, bgval=0):
    return segmentation.clear_border(labels, buffer_size, bgval)


def label2rgb(
    label,
    image=None,
    colors=None,
    alpha=0.3,
    bg_label=0,
    bg_color=(0, 0, 0),
    image_alpha=1,
    kind="overlay",
    *,
    saturation=0,
    axes=None,
):
    """scikit-image's, in float64; where it leaves out the background, it takes ranks of labels for labels."""
    label, dtype = label.astype(np.int64), np.uint8 if image is None else image.dtype
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    plain = None if image is None else image.astype(np.float64) / top
    if kind == "avg":
        picture = plain if plain.ndim == 3 else np.repeat(plain[..., None], 3, axis=2)
        made = color.label2rgb(label, picture, bg_label=bg_label, bg_color=bg_color, kind="avg")
        return stored(top * made, dtype)
    given = {"colors": colors, "image_alpha": image_alpha, "bg_label": bg_label, "saturation": saturation}
    made = color.label2rgb(label, plain, alpha=alpha, bg_color=bg_color or (0, 0, 0), **given)
    if bg_color is None and image is not None:
        below = color.label2rgb(label, plain, alpha=0, **given)
        made = np.where((label == bg_label)[..., None], below, made)
    return stored(top * made, dtype)


ORACLES = {
    "find_boundaries": find_boundaries,
    "label2rgb": label2rgb,
    "remove_small_holes": remove_small_holes,
    "remove_small_objects": remove_small_objects,
    "apply_hysteresis_threshold": apply_hysteresis_threshold,
    "canny": canny,
    "clear_border": clear_border,
    "corner_harris": corner_harris,
    "distance_transform_edt": distance_transform_edt,
    "label": label,
    "local_maxima": local_maxima,
    "peak_local_max": peak_local_max,
    "reconstruction": reconstruction,
    "fill_holes": fill_holes,
    "skeletonize": skeletonize,
    "thin": thin,
    "watershed": watershed,
    "integral_image": integral_image,
    "rgb2gray": rgb2gray,
    "rgb2hsv": rgb2hsv,
    "hsv2rgb": hsv2rgb,
    "rgb2ycbcr": rgb2ycbcr,
    "ycbcr2rgb": ycbcr2rgb,
    "rgb2lab": rgb2lab,
    "lab2rgb": lab2rgb,
    "invert": invert,
    "lut": lut,
    "adjust_gamma": adjust_gamma,
    "astype": astype,
    "blend": blend,
    "add": _arithmetic(np.add),
    "subtract": _arithmetic(np.subtract),
    "multiply": _arithmetic(np.multiply),
    "divide": _arithmetic(np.divide),
    "where": where,
    "clip": clip,
    "threshold": threshold,
    "gaussian": gaussian,
    "uniform": uniform,
    "median": median,
    "percentile": percentile,
    "convolve": convolve,
    "bilateral": bilateral,
    "denoise_nl_means": denoise_nl_means,
    "minimum": minimum,
    "maximum": maximum,
    "erosion": erosion,
    "dilation": dilation,
    "sobel": sobel,
    "histogram": histogram,
    "threshold_otsu": threshold_otsu,
    "threshold_yen": threshold_yen,
    "threshold_triangle": threshold_triangle,
    "threshold_li": threshold_li,
    "threshold_multiotsu": threshold_multiotsu,
    "equalize_hist": equalize_hist,
    "equalize_adapthist": equalize_adapthist,
    "match_histograms": match_histograms,
    "pyramid_expand": pyramid_expand,
    "pyramid_reduce": pyramid_reduce,
    "rescale": rescale,
    "resize": resize,
    "scharr": scharr,
    "prewitt": prewitt,
    "gradient": gradient,
    "laplace": laplace,
    "unsharp_mask": unsharp_mask,
    "difference_of_gaussians": difference_of_gaussians,
    "gaussian_laplace": gaussian_laplace,
    "threshold_local": threshold_local,
    "threshold_niblack": threshold_niblack,
    "threshold_sauvola": threshold_sauvola,
    "opening": opening,
    "closing": closing,
    "white_tophat": white_tophat,
    "black_tophat": black_tophat,
    "morphological_gradient": morphological_gradient,
    "rescale_intensity": rescale_intensity,
    "flip": flip,
    "pad": pad,
    "crop": crop,
    "rot90": rot90,
    "warp": warp,
    "rotate": rotate,
    "remap": remap,
}
