"""What must hold for every image: properties of the filters, on images that hypothesis makes up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage import morphology

import gpuimg

SIDES = st.tuples(st.integers(1, 24), st.integers(1, 40))
IMAGES = SIDES.flatmap(lambda shape: arrays.arrays(np.uint8, shape))
SIGNED = SIDES.flatmap(lambda shape: arrays.arrays(np.int16, shape))
FLOATS = SIDES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=st.floats(-1e6, 1e6, width=32)))
MODES = st.sampled_from(["reflect", "nearest", "mirror", "wrap", "constant"])
# Of every dtype that morphology takes, with the dtype's extreme values.
COMPARED = st.tuples(
    st.sampled_from(["bool", "uint8", "uint16", "int16", "int32", "float32", "float64"]), SIDES
).flatmap(lambda given: arrays.arrays(*given, elements=st.floats(-1e6, 1e6, width=32) if "float" in given[0] else None))
FOOTPRINTS = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)
).filter(np.any)
ODD = st.sampled_from([1, 3, 5, 7, 11])
PERIODIC = st.sampled_from(["reflect", "nearest", "mirror"])


@pytest.fixture(autouse=True, scope="module")
def on_one_thread():
    with gpuimg.use_backend("single"):
        yield


@given(IMAGES)
def test_inverting_twice_gives_the_image(image):
    np.testing.assert_array_equal(gpuimg.invert(gpuimg.invert(image)), image)


@given(SIGNED)
def test_inverting_signed_images_reverses_their_order(image):
    inverse = gpuimg.invert(image)
    assert inverse.max() == -1 - int(image.min())
    np.testing.assert_array_equal(gpuimg.invert(inverse), image)


@given(IMAGES)
def test_the_identity_table_changes_nothing(image):
    np.testing.assert_array_equal(gpuimg.lut(image, np.arange(256, dtype=np.uint8)), image)


@given(IMAGES, st.integers(-5, 260), st.integers(-5, 260))
def test_a_higher_threshold_marks_fewer_pixels(image, first, second):
    low, high = min(first, second), max(first, second)
    assert not (gpuimg.threshold(image, high) & ~gpuimg.threshold(image, low)).any()


@given(IMAGES, ODD, ODD, MODES)
def test_minimum_median_maximum_are_in_order(image, rows, cols, mode):
    least, middle, greatest = (
        function(image, (rows, cols), mode=mode) for function in (gpuimg.minimum, gpuimg.median, gpuimg.maximum)
    )
    assert (least <= middle).all()
    assert (middle <= greatest).all()


@given(IMAGES, st.floats(0, 6), PERIODIC)
def test_smoothing_stays_between_the_extremes(image, sigma, mode):
    for smooth in (gpuimg.gaussian(image, sigma, mode=mode), gpuimg.uniform(image, 1 + int(sigma), mode=mode)):
        assert image.min() <= smooth.min()
        assert smooth.max() <= image.max()


@given(st.integers(0, 255), SIDES, st.floats(0, 20), PERIODIC)
def test_a_constant_image_stays_constant(value, shape, sigma, mode):
    image = np.full(shape, value, np.uint8)
    for result in (
        gpuimg.gaussian(image, sigma, mode=mode),
        gpuimg.uniform(image, 1 + int(sigma), mode=mode),
        gpuimg.median(image, 1 + 2 * int(sigma), mode=mode),
        gpuimg.resize(image, (5, 7)),
    ):
        assert (result == value).all()
    assert (gpuimg.sobel(image, mode=mode) == 0).all()


@given(IMAGES, st.data())
def test_dilation_is_erosion_of_the_inverse(image, data):
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    footprint = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    if not footprint.any() or not (shape[0] % 2 and shape[1] % 2):
        footprint = np.ones((3, 3), np.uint8)
    dilated = gpuimg.dilation(image, footprint)
    eroded = gpuimg.erosion(gpuimg.invert(image), footprint[::-1, ::-1])
    np.testing.assert_array_equal(dilated, gpuimg.invert(eroded))


def opposite(image):
    """The image's values in reversed order."""
    return -image if image.dtype.kind == "f" else ~image


def odd(footprint):
    """The same footprint with odd sides, whose centre is not a matter of convention."""
    return np.pad(footprint, [(0, 1 - side % 2) for side in footprint.shape])


@given(COMPARED, FOOTPRINTS)
def test_an_opening_is_nowhere_above_the_image_and_a_closing_nowhere_below(image, footprint):
    opened, closed = gpuimg.opening(image, footprint), gpuimg.closing(image, footprint)
    assert (opened <= image).all()
    assert (closed >= image).all()
    np.testing.assert_array_equal(gpuimg.opening(opened, footprint), opened)
    np.testing.assert_array_equal(gpuimg.closing(closed, footprint), closed)


@given(COMPARED, st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_opening_by_a_window_is_the_same_with_the_image_reflected(image, size):
    opened = gpuimg.opening(image, size)
    assert (opened <= image).all()
    np.testing.assert_array_equal(gpuimg.opening(opened, size), opened)
    np.testing.assert_array_equal(gpuimg.opening(image, size, mode="reflect"), opened)


@given(COMPARED, FOOTPRINTS)
def test_closing_is_opening_of_the_inverse(image, footprint):
    turned = odd(footprint)[::-1, ::-1]
    for closed, opened in ((gpuimg.closing, gpuimg.opening), (gpuimg.black_tophat, gpuimg.white_tophat)):
        found, expected = closed(image, footprint), opened(opposite(image), turned)
        np.testing.assert_array_equal(found, opposite(expected) if closed is gpuimg.closing else expected)


@given(COMPARED, FOOTPRINTS)
def test_top_hats_are_not_negative(image, footprint):
    white, black = gpuimg.white_tophat(image, footprint), gpuimg.black_tophat(image, footprint)
    assert (white >= 0).all()
    assert (black >= 0).all()
    if image.dtype.kind == "u":  # nothing is left to be saturated
        np.testing.assert_array_equal(white + gpuimg.opening(image, footprint), image)
        np.testing.assert_array_equal(gpuimg.closing(image, footprint) - black, image)


@given(COMPARED, FOOTPRINTS)
def test_a_border_that_is_ignored_is_scikit_images(image, footprint):
    """Which does not reflect the footprint in dilations, and centres even ones elsewhere."""
    under = odd(footprint)
    turned = under[::-1, ::-1]
    for name, theirs in (("erosion", under), ("dilation", turned), ("opening", under), ("closing", turned)):
        expected = getattr(morphology, name)(image, theirs, mode="ignore")
        found = getattr(gpuimg, name)(image, footprint, mode="ignore")
        np.testing.assert_array_equal(found, expected, err_msg=name, strict=True)
    if image.dtype.kind in "bu":  # others are not saturated there
        white, black = (getattr(morphology, f"{kind}_tophat") for kind in ("white", "black"))
        np.testing.assert_array_equal(gpuimg.white_tophat(image, footprint), white(image, under, mode="ignore"))
        np.testing.assert_array_equal(gpuimg.black_tophat(image, footprint), black(image, turned, mode="ignore"))


@given(IMAGES, ODD, PERIODIC)
def test_symmetric_filters_commute_with_flips(image, size, mode):
    for apply in (
        lambda picture: gpuimg.median(picture, size, mode=mode),
        lambda picture: gpuimg.uniform(picture, size, mode=mode),
        lambda picture: gpuimg.maximum(picture, size, mode=mode),
        lambda picture: gpuimg.gaussian(picture, size / 3, mode=mode),
        lambda picture: gpuimg.sobel(picture, mode=mode),
    ):
        np.testing.assert_array_equal(apply(image[::-1, ::-1]), apply(image)[::-1, ::-1])


@given(IMAGES, st.sampled_from([0, 1, 3, "lanczos"]))
def test_resizing_to_the_same_shape_changes_nothing(image, order):
    np.testing.assert_array_equal(gpuimg.resize(image, image.shape, order), image)


@given(IMAGES)
def test_channels_are_filtered_each_on_its_own(image):
    color = np.stack([image, gpuimg.invert(image), image // 2], axis=-1)
    for apply in (gpuimg.median, gpuimg.gaussian, gpuimg.sobel, gpuimg.erosion, gpuimg.uniform, gpuimg.equalize_hist):
        planes = [apply(np.ascontiguousarray(color[..., channel])) for channel in range(3)]
        np.testing.assert_array_equal(apply(color), np.stack(planes, axis=-1))


@given(IMAGES, st.integers(1, 300))
def test_a_histogram_counts_every_pixel(image, bins):
    counts, edges = gpuimg.histogram(image, bins)
    assert counts.sum() == image.size
    assert len(edges) == bins + 1


@given(FLOATS, st.integers(1, 50))
def test_a_histogram_of_floats_is_numpys(image, bins):
    try:
        expected, expected_edges = np.histogram(image, bins)
    except ValueError:  # too many bins for so small a range of float32
        expected, expected_edges = np.histogram(image.astype(np.float64), bins)
    counts, edges = gpuimg.histogram(image, bins)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(edges, expected_edges)


@given(IMAGES)
def test_otsu_splits_what_can_be_split(image):
    level = gpuimg.threshold_otsu(image)
    assert image.min() <= level <= image.max()
    if image.min() < image.max():
        marked = gpuimg.threshold(image, level)
        assert marked.any()
        assert not marked.all()


@given(IMAGES)
def test_equalising_keeps_the_order_of_values(image):
    spread = gpuimg.equalize_hist(image)
    places = np.argsort(image, axis=None, kind="stable")
    assert (np.diff(spread.ravel()[places].astype(int)) >= 0).all()
    assert spread.max() == 255


@given(IMAGES, ODD, MODES, st.integers(0, 255))
def test_cores_and_one_thread_agree(image, size, mode, cval):
    for apply in (gpuimg.median, gpuimg.uniform, gpuimg.minimum):
        one = apply(image, size, mode=mode, cval=cval, backend="single")
        np.testing.assert_array_equal(apply(image, size, mode=mode, cval=cval, backend="multicore"), one)


@given(IMAGES, ODD)
def test_a_filter_of_a_part_is_a_part_of_the_filter(image, size):
    """Away from the border, what a window does not reach does not matter."""
    reach = size // 2
    part = image[reach:, reach:]
    if min(part.shape) <= 2 * reach:
        return
    inner = (slice(reach, part.shape[0] - reach), slice(reach, part.shape[1] - reach))
    for apply in (gpuimg.median, gpuimg.minimum, gpuimg.uniform):
        whole = apply(image, size)[reach:, reach:]
        np.testing.assert_array_equal(apply(part, size)[inner], whole[inner])
