"""Labelled regions: measurements against scikit-image, sums that are exact, labels of all kinds."""

import math
import re
import warnings
from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage
from skimage import color, measure

import gpuimg
from gpuimg.filters import regions
from tests.conftest import assert_same, noise

PROPERTIES = (*regions.PROPERTIES, *regions.OLD_NAMES)
SHAPES = [(1, 1), (1, 130), (140, 1), (2, 3), (33, 47), (140, 261)]
INTENSITIES = ["bool", "uint8", "uint16", "int16", "int32", "float32", "float64"]


def blobs(shape, seed=0, share=0.5):
    """Labels of regions of all sizes."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    return measure.label(smooth > np.quantile(smooth, 1 - share))


def table_of(labels, intensity=None, properties=PROPERTIES, **given):
    """scikit-image's table, with intensities of float32 added up in float64."""
    wide = intensity if intensity is None or intensity.dtype != np.float32 else intensity.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return measure.regionprops_table(labels, wide, properties, **given)


def assert_tables_close(found, expected):
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].dtype == column.dtype, name
        # The root of a difference that cancels out nearly has half as many digits.
        loose = "minor" in name or name == "eccentricity"
        np.testing.assert_allclose(found[name], column, rtol=1e-9, atol=1e-6 if loose else 1e-9, err_msg=name)


def assert_tables_same(found, expected):
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert_same(found[name], column, name)


@pytest.mark.parametrize("dtype", INTENSITIES)
def test_tables_as_of_scikit_image(dtype, backend):
    for number, shape in enumerate(SHAPES):
        labels, intensity = blobs(shape, number), noise(shape, dtype, number)
        found = gpuimg.regionprops_table(labels, intensity, PROPERTIES, backend=backend)
        assert_tables_close(found, table_of(labels, intensity))
        assert_tables_same(found, gpuimg.regionprops_table(labels, intensity, PROPERTIES, backend="single"))


def test_regions_that_do_not_hang_together(backend):
    labels = noise((90, 133), np.uint8) % 7
    properties = [name for name in PROPERTIES if "intensity" not in name]
    found = gpuimg.regionprops_table(labels, None, properties, backend=backend)
    assert_tables_close(found, table_of(labels, None, properties))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_intensities_of_channels(channels, backend):
    labels = blobs((70, 90))
    intensity = noise((70, 90, channels), np.float32)
    properties = ("centroid", "intensity_min", "mean_intensity", "intensity_max")
    found = gpuimg.regionprops_table(labels, intensity, properties, "_", backend=backend)
    assert_tables_close(found, table_of(labels, intensity, properties, separator="_"))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64"])
def test_labels_of_every_integer_dtype(dtype, backend):
    labels = (blobs((66, 40)) % 100).astype(dtype)
    if labels.dtype.kind == "i":
        labels[:3] = -5
    properties = ("label", "area", "perimeter", "bbox")
    found = gpuimg.regionprops_table(labels, properties=properties, backend=backend)
    assert_tables_close(found, table_of(labels.astype(np.int64), None, properties))


def test_labels_beyond_the_number_of_pixels(backend):
    labels = np.array([[7, 2**31 - 1, -(2**31)], [7, 0, 10**9]], np.int32)
    found = gpuimg.regionprops_table(labels, properties=("label", "area", "bbox"), backend=backend)
    np.testing.assert_array_equal(found["label"], [7, 10**9, 2**31 - 1])
    np.testing.assert_array_equal(found["area"], [2, 1, 1])
    np.testing.assert_array_equal(found["bbox-1"], [0, 2, 1])


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (5, 6)], ids=str)
def test_no_region(shape):
    labels = np.zeros(shape, np.int32)
    for intensity in (np.zeros(shape, np.uint8), np.zeros((*shape, 3), np.float32)):
        found = gpuimg.regionprops_table(labels, intensity, PROPERTIES)
        assert list(found) == list(table_of(np.zeros((5, 6), int), np.zeros((5, 6, *intensity.shape[2:]))))
        assert {column.shape for column in found.values()} == {(0,)}


def test_means_are_those_of_exact_sums(backend):
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 4, (130, 70)).astype(np.int32)
    intensity = (rng.normal(size=labels.shape) * 10.0 ** rng.integers(-9, 9, labels.shape)).astype(np.float32)
    intensity[labels == 2] *= np.float32(1e-30)
    found = gpuimg.regionprops_table(labels, intensity, ("intensity_mean",), backend=backend)["intensity_mean"]
    for label in (1, 2, 3):
        values = intensity[labels == label]
        exact = sum(map(Fraction, map(float, values))) / len(values)
        assert found[label - 1] == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-310, 1e-300, 1.0, 1e307])
def test_intensities_of_any_magnitude(scale, backend):
    labels = np.ones((65, 40), np.int32)
    intensity = np.full(labels.shape, scale)
    found = gpuimg.regionprops_table(labels, intensity, regions.INTENSITIES, backend=backend)
    for name in ("intensity_max", "intensity_min"):
        assert found[name] == scale
    assert found["intensity_mean"] == pytest.approx(scale, rel=1e-12, abs=1e-288)


def test_values_that_are_no_numbers(backend):
    labels = np.repeat(np.arange(1, 9, dtype=np.int32), 3)[None].repeat(2, 0)
    nan, inf = math.nan, math.inf
    rows = [
        (1, nan, 2),
        (nan,) * 3,
        (1, inf, 2),
        (inf,) * 3,
        (1, -inf, 2),
        (-inf,) * 3,
        (inf, 1, -inf),
        (inf, nan, -inf),
    ]
    for dtype in (np.float32, np.float64):
        intensity = np.array(rows, dtype).reshape(1, -1).repeat(2, 0)
        found = gpuimg.regionprops_table(labels, intensity, regions.INTENSITIES, backend=backend)
        with np.errstate(invalid="ignore"):
            assert_tables_close(found, table_of(labels, intensity, regions.INTENSITIES))


def test_any_height_of_parts(constants):
    labels, intensity = blobs((150, 90)), noise((150, 90, 3), np.float32)
    expected = gpuimg.regionprops_table(labels, intensity, PROPERTIES, backend="single")
    for height in (1, 7, 1000):
        constants(regions, HEIGHT=height)
        for backend in ("single", "multicore"):
            found = gpuimg.regionprops_table(labels, intensity, PROPERTIES, backend=backend)
            assert_tables_same(found, expected)


def test_more_regions_than_slots(backend):
    """Each pixel of its own, numbered so that neighbours share slots."""
    labels = (1 + np.arange(70 * 80) % 11 * 512 + np.arange(70 * 80) // 11).reshape(70, 80)
    properties = ("label", "area", "bbox", "centroid", "perimeter", "intensity_mean")
    intensity = noise(labels.shape, np.uint8)
    found = gpuimg.regionprops_table(labels, intensity, properties, backend=backend)
    assert_tables_close(found, table_of(labels, intensity, properties))


WRONG = [
    ({"label_image": np.ones((3, 3), bool)}, TypeError, "label_image must hold integers, got bool: gpuimg.label"),
    ({"label_image": np.ones((3, 3))}, TypeError, "label_image must have one of the dtypes uint8"),
    ({"label_image": np.ones((3, 3, 2), int)}, ValueError, "label_image must have the shape (H, W), got (3, 3, 2)"),
    ({"label_image": np.full((3, 3), 2**31)}, ValueError, "label_image must hold labels of at most 2147483647"),
    ({"properties": "area"}, TypeError, "properties must be a sequence of names, got 'area'"),
    ({"properties": ("area", "size")}, ValueError, "properties must be among label, num_pixels"),
    ({"properties": ("max_intensity",)}, ValueError, "must be given for the property 'max_intensity'"),
    ({"separator": 3}, TypeError, "separator must be a str, got 3"),
    (
        {"intensity_image": np.ones((3, 4))},
        ValueError,
        "must have the label_image's rows and columns (3, 3), got (3, 4)",
    ),
    ({"intensity_image": np.ones((3, 3), np.float16)}, TypeError, "intensity_image must have one of the dtypes bool"),
    (
        {"label_image": np.broadcast_to(np.uint8(1), (1, 1 << 21))},
        ValueError,
        "label_image must have at most 1048576 rows and columns",
    ),
]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_tables_of_a_stack(backend, channels):
    shape = (17, 23)
    labels = np.array([[blobs(shape, 3 * t + z) for z in range(3)] for t in range(2)])
    labels[0, 1] = 0
    intensity = noise((2, 3, *shape, *channels), "uint16", 1)
    found = gpuimg.regionprops_table(labels, intensity, PROPERTIES, axes="TZYX", backend=backend)
    tables = {
        place: gpuimg.regionprops_table(labels[place], intensity[place], PROPERTIES, backend="single")
        for place in np.ndindex(2, 3)
    }
    assert list(found) == ["T", "Z", *tables[0, 0]]
    for place, table in tables.items():
        rows = (found["T"] == place[0]) & (found["Z"] == place[1])
        assert_tables_same({name: found[name][rows] for name in table}, table)
    places = np.stack([found["T"], found["Z"], found["label"]])
    assert places.dtype == np.int64
    np.testing.assert_array_equal(np.lexsort(places[::-1]), range(places.shape[1]))


def test_axes_of_tables_in_any_order():
    labels, intensity = np.stack([blobs((9, 12)), blobs((9, 12), 1)]), noise((2, 9, 12, 3), "float32")
    expected = gpuimg.regionprops_table(labels, intensity, PROPERTIES, axes="NYX")
    turned = np.moveaxis(intensity, 0, 2)
    assert_tables_same(gpuimg.regionprops_table(np.moveaxis(labels, 0, 2), turned, PROPERTIES, axes="YXN"), expected)
    assert_tables_same(
        {"N": expected["N"], **gpuimg.regionprops_table(labels, intensity, axes="NYX")},
        {name: expected[name] for name in expected if name in ("N", "label") or name.startswith("bbox-")},
    )
    (first, second), kinds = labels, ("label", "area")
    assert_tables_same(
        gpuimg.regionprops_table(first, properties=kinds, axes="YX"), gpuimg.regionprops_table(first, properties=kinds)
    )
    by_channels = gpuimg.regionprops_table(labels, intensity[..., 0], kinds, axes="CYX")
    assert list(by_channels) == ["C", *kinds]
    assert by_channels["C"].sum() == second.max()
    none = gpuimg.regionprops_table(labels[:0], intensity[:0], PROPERTIES, axes="NYX")
    assert {name: (column.shape, column.dtype) for name, column in none.items()} == {
        name: ((0,), column.dtype) for name, column in expected.items()
    }


STACKED = [
    ({"axes": "TYX"}, "axes must have a letter for each axis of label_image, whose shape is (3, 3), got 'TYX'"),
    ({"label_image": np.ones((3, 3, 2), int), "axes": "YXC"}, "label_image must be of the shape (H, W) or a stack"),
    (
        {"label_image": np.ones((2, 3, 3), int), "intensity_image": np.ones((3, 3, 3)), "axes": "TYX"},
        "intensity_image must have the label_image's extents of the stack (2,), got (3,)",
    ),
    (
        {"label_image": np.ones((2, 3, 3), int), "intensity_image": np.ones((2, 3, 4)), "axes": "TYX"},
        "intensity_image must have the label_image's rows and columns (3, 3), got (3, 4)",
    ),
    (
        {"label_image": np.ones((2, 3, 3), int), "intensity_image": np.ones((3, 3)), "axes": "TYX"},
        "axes must have a letter for each axis of intensity_image, whose shape is (3, 3)",
    ),
]


def test_masks_of_a_stack_are_not_labels():
    with pytest.raises(TypeError, match=r"got bool: gpuimg\.label"):
        gpuimg.regionprops_table(np.ones((2, 3, 3), bool), axes="TYX")


@pytest.mark.parametrize(("given", "message"), STACKED, ids=[message for _, message in STACKED])
def test_axes_that_do_not_fit(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        gpuimg.regionprops_table(**{"label_image": np.ones((3, 3), int), **given})


@pytest.mark.parametrize(("given", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_wrong_arguments(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        gpuimg.regionprops_table(**{"label_image": np.ones((3, 3), int), **given})


@pytest.mark.parametrize("shape", [(19, 33), (19, 33, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_overlays_as_of_scikit_image(dtype, shape, backend):
    labels = 3 * blobs(shape[:2])
    image = noise(shape, dtype) if np.dtype(dtype).kind != "f" else np.abs(noise(shape, dtype)) / 8
    top = 1 if image.dtype.kind == "f" else np.iinfo(dtype).max
    for given in ({}, {"bg_color": None, "alpha": 0.6}, {"saturation": 0.4, "image_alpha": 0.3}, {"bg_label": 3}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # negative values
            expected = top * color.label2rgb(labels, image.astype(np.float64) / top, **given)
        found = gpuimg.label2rgb(labels.astype(np.int32), image, backend=backend, **given)
        assert found.dtype == image.dtype
        low = -1 if image.dtype.kind == "f" else np.iinfo(dtype).min
        np.testing.assert_allclose(found, np.clip(expected, low, None), atol=0.51 if top > 1 else 1e-6, rtol=1e-6)
        assert_same(found, gpuimg.label2rgb(labels.astype(np.int32), image, backend="single", **given))


def test_means_as_of_scikit_image(backend):
    labels, image = blobs((40, 52)), noise((40, 52, 3), "uint8")
    expected = color.label2rgb(labels, image.astype(np.float64), kind="avg")
    for kind in (np.int32, np.int16):
        found = gpuimg.label2rgb(labels.astype(kind), image, kind="avg", backend=backend)
        assert_same(found, np.rint(expected).astype(np.uint8))
    shifted = gpuimg.label2rgb((labels - 9).astype(np.int16), image, kind="avg", bg_label=-9, backend=backend)
    assert_same(shifted, found)
    beside = gpuimg.label2rgb(labels.astype(np.int32), image, kind="avg", bg_color=None, backend=backend)
    assert_same(beside, np.where(labels[..., None] == 0, image, found))


def test_nan_shows_through_a_colour_only():
    labels, image = np.array([[0, 1, 1]], np.uint8), np.full((1, 3), np.nan, np.float32)
    assert np.isnan(gpuimg.label2rgb(labels, image)).all()
    assert_same(gpuimg.label2rgb(labels, image, alpha=1)[0, 1], np.array([1, 0, 0], np.float32))


def test_overlays_of_a_stack_of_colour_images(backend):
    labels, images = np.stack([blobs((20, 30), 0), blobs((20, 30), 1)]).astype(np.int32), noise((2, 20, 30, 3), "uint8")
    found = gpuimg.label2rgb(labels, images, axes="TYX", backend=backend)
    assert_same(found, np.stack([gpuimg.label2rgb(*each) for each in zip(labels, images, strict=True)]))
