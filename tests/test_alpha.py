"""Alpha channels: what each filter does with them, in arrays, PIL images, files and chains."""

import inspect
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import gpuimg
from gpuimg.cli import cli
from gpuimg.images import DTYPES, limits
from gpuimg.registry import arguments
from tests.conftest import assert_close, assert_same, noise

FILTERS = gpuimg.FILTERS
OF_BYTES = sorted(name for name, entry in FILTERS.items() if "u" in entry.kinds and not entry.grey)
TREATED = sorted(name for name, entry in FILTERS.items() if entry.alpha != "channel")
WEIGHED = [
    ("resize", {"output_shape": (11, 25)}),
    ("resize", {"output_shape": (40, 70)}),
    ("resize", {"output_shape": (11, 25), "anti_aliasing": False}),
    ("resize", {"output_shape": (61, 20), "order": 3}),
    ("resize", {"output_shape": (30, 70), "order": "lanczos"}),
    ("pyramid_reduce", {}),
    ("pyramid_reduce", {"mode": "constant"}),
    ("pyramid_expand", {"upscale": 1.6}),
    ("pyramid_expand", {"mode": "wrap"}),
    ("gaussian", {"sigma": 1.5}),
    ("gaussian", {"sigma": 2, "mode": "constant"}),
    ("uniform", {"size": (3, 6)}),
]
ids = [f"{name}-{number}" for number, (name, _) in enumerate(WEIGHED)]


def maximum(dtype):
    return 1 if dtype.kind == "f" else limits(dtype)[1]


def with_holes(dtype, channels=4, shape=(33, 37)):
    """Noise with areas that are opaque, transparent and between."""
    image = np.abs(noise((*shape, channels), dtype)) if dtype.kind == "f" else noise((*shape, channels), dtype)
    image[..., -1] = np.clip(image[..., -1], 0, maximum(dtype))
    image[:20, :20, -1] = maximum(dtype)
    image[22:, 15:, -1] = 0
    return image


def white_square():
    image = np.zeros((60, 60, 4), np.uint8)
    image[15:45, 15:45] = 255
    return image


def colours(image):
    """Without alpha, as filters see it."""
    if image.ndim == 2 or image.shape[2] not in (2, 4):
        return image
    return image[..., 0] if image.shape[-1] == 2 else np.ascontiguousarray(image[..., :-1])


def example_of(entry, image):
    return arguments(entry.examples[0], colours(image))


def call(entry, image, **more):
    return entry.function(image, **example_of(entry, image), **more)


def dtype_for(entry):
    return next(dtype for dtype in DTYPES if dtype.kind in entry.kinds)


# What each filter says of itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILTERS)
def test_filters_that_treat_alpha_apart_have_the_argument(name):
    parameter = inspect.signature(FILTERS[name].function).parameters.get("alpha")
    is_there = parameter is not None and parameter.kind == parameter.KEYWORD_ONLY
    assert is_there == (FILTERS[name].alpha != "channel")
    assert not is_there or parameter.default is None


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        (name, channels)
        for name in TREATED
        for channels in (2, 4)
        if not (FILTERS[name].grey if channels == 4 else FILTERS[name].color)
    ],
)
def test_every_filter_does_what_it_declares(name, channels):
    entry = FILTERS[name]
    for dtype in [dtype for dtype in DTYPES if dtype.kind in entry.kinds]:
        image = with_holes(dtype, channels)
        if name == "adjust_gamma":
            image = np.abs(image)
        made, plain = call(entry, image, alpha=True, backend="single"), call(entry, colours(image), backend="single")
        if entry.alpha == "kept":
            assert_same(made[..., -1], image[..., -1])
            assert_same(colours(made), plain)
        elif entry.alpha == "weighed":
            assert_same(made[..., -1], call(entry, image[..., -1].copy(), backend="single"))
            assert not np.array_equal(colours(made), plain)
        else:
            for one, other in zip(
                *[each if isinstance(each, tuple) else (each,) for each in (made, plain)], strict=True
            ):
                assert_same(one, other)


@pytest.mark.parametrize("name", OF_BYTES)
def test_every_filter_of_an_rgba_picture(name):
    entry = FILTERS[name]
    image = with_holes(np.dtype("uint8"))
    picture = Image.fromarray(image)
    given = example_of(entry, image)
    if entry.alpha == "channel":
        given = arguments(entry.examples[0], image)
    try:
        made = entry.function(picture, **given)
    except TypeError as error:
        assert "PIL has no mode" in str(error)  # noqa: PT017 - a result that is no picture
        return
    if entry.alpha in ("kept", "weighed"):
        assert made.mode == "RGBA"
        assert_same(np.asarray(made), call(entry, image, alpha=True))
    elif entry.alpha == "dropped" and isinstance(made, Image.Image):
        assert made.mode in ("L", "RGB")
    elif isinstance(made, Image.Image):
        assert_same(np.asarray(made), entry.function(image, **given))


def test_pictures_of_grey_with_alpha():
    grey = with_holes(np.dtype("uint8"), 2)
    made = gpuimg.invert(Image.fromarray(grey))
    assert made.mode == "LA"
    assert_same(np.asarray(made), np.dstack((255 - grey[..., 0], grey[..., 1])))


def test_a_picture_whose_alpha_is_a_channel_when_asked():
    image = with_holes(np.dtype("uint8"))
    assert_same(np.asarray(gpuimg.invert(Image.fromarray(image), alpha=False)), 255 - image)
    assert_same(gpuimg.invert(image), 255 - image)


def test_alpha_is_dropped_where_the_dtype_changes():
    image = with_holes(np.dtype("uint8"))
    made = gpuimg.rescale_intensity(image, out_range="float32", alpha=True)
    assert_same(made, gpuimg.rescale_intensity(colours(image), out_range="float32"))


def test_colour_spaces_take_four_channels_with_alpha():
    image = with_holes(np.dtype("uint8"))
    assert_same(gpuimg.rgb2hsv(image, alpha=True), gpuimg.rgb2hsv(colours(image)))
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        gpuimg.rgb2hsv(image)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_an_image_without_alpha(shape):
    with pytest.raises(ValueError, match=r"image must have the shape \(H, W, 2\) or \(H, W, 4\) with alpha=True, got"):
        gpuimg.invert(np.zeros(shape, np.uint8), alpha=True)


def test_alpha_that_is_no_bool():
    with pytest.raises(TypeError, match="alpha must be True, False or None, got 1"):
        gpuimg.invert(np.zeros((5, 6, 4), np.uint8), alpha=1)


@pytest.mark.parametrize("name", ["invert", "equalize_hist", "resize", "rgb2gray", "threshold_otsu"])
@pytest.mark.parametrize("axes", ["TYXC", "TCYX"])
def test_stacks(name, axes):
    entry = FILTERS[name]
    images = [with_holes(np.dtype("float32"), shape=shape) for shape in [(19, 23)] * 3]
    stack = np.stack(images) if axes == "TYXC" else np.stack(images).transpose(0, 3, 1, 2)
    made = (
        call(entry, stack, axes=axes, alpha=True)
        if name == "rgb2gray"
        else entry.function(stack, **dict(entry.examples[0]), axes=axes, alpha=True)
    )
    for image, one in zip(images, made, strict=True):
        expected = call(entry, image, alpha=True)
        assert_same(one.transpose(1, 2, 0) if axes == "TCYX" and one.ndim == 3 else one, expected)


def test_out():
    image = with_holes(np.dtype("uint16"))
    expected = gpuimg.invert(image, alpha=True)
    assert gpuimg.invert(image, alpha=True, out=image) is image
    assert_same(image, expected)


# Averages -------------------------------------------------------------------------------------------------------------


def test_no_dark_edge_around_a_white_square():
    made = gpuimg.resize(white_square(), (25, 25), alpha=True)
    visible = made[made[..., 3] > 0]
    assert len(visible) > 100
    assert (visible[:, :3] == 255).all()


@pytest.mark.parametrize(("name", "params"), WEIGHED, ids=ids)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_constant_colour_stays(name, params, dtype):
    image = with_holes(dtype)
    colour = np.array([0.9, 0.3, 0.1]) * maximum(dtype)
    image[..., :3] = np.where(image[..., 3:] > 0, colour.astype(dtype), image[..., :3])
    function = FILTERS[name].function
    made = function(image, **params, alpha=True)
    is_mixed = function((image[..., 3] != maximum(dtype)).astype(np.float64), **params) != 0
    visible = made[is_mixed & (made[..., 3] > 0)][:, :3]
    assert len(visible) > 20
    expected = np.broadcast_to(colour.astype(dtype), visible.shape)
    if dtype == np.float64:  # in which sums round
        share = made[is_mixed & (made[..., 3] > 0)][:, 3:]
        np.testing.assert_allclose(visible * share, expected * share, rtol=1e-14, atol=1e-15)
    else:
        assert_same(visible, expected)
    assert_same(made[~is_mixed], function(image, **params)[~is_mixed])


@pytest.mark.parametrize(("name", "params"), WEIGHED, ids=ids)
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_the_definition(name, params, channels, dtype):
    image = with_holes(dtype, channels)
    function = FILTERS[name].function
    made, plain = function(image, **params, alpha=True), function(image, **params)
    assert_same(made[..., -1], plain[..., -1])
    exact = image.astype(np.float64)
    alpha = function(exact[..., -1].copy(), **params)
    product = function(exact[..., :-1] * exact[..., -1:], **params)
    clear = function((exact[..., -1] != maximum(dtype)).astype(np.float64), **params)
    weighed = np.divide(product, alpha[..., None], where=alpha[..., None] > 0, out=np.zeros_like(product))
    expected = np.where(((alpha > 0) & (clear != 0))[..., None], weighed, plain[..., :-1])
    if dtype.kind == "f":
        assert_close(made[..., :-1], expected.astype(dtype), image)
    else:
        expected = np.clip(expected, *limits(dtype))
        assert np.abs(made[..., :-1] - np.rint(expected)).max() <= 1
        assert (made[..., :-1] != np.rint(expected)).mean() < 1e-2  # float32 rounds ties


@pytest.mark.parametrize("name", ["resize", "gaussian", "invert", "rescale_intensity"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [2, 4])
def test_widths_around_those_of_vectors(name, dtype, channels, backend):
    wide = np.tile(with_holes(np.dtype(dtype), channels, (24, 34)), (1, 3, 1))
    params = {"resize": {"output_shape": (9, 7)}}.get(name, {})
    function = FILTERS[name].function
    for width in (1, 3, 8, 15, 16, 17, 33, 63, 64, 65, 101):
        image = np.ascontiguousarray(wide[:, :width])
        made = function(image, **params, alpha=True, backend=backend)
        if name in ("invert", "rescale_intensity"):
            assert_same(made[..., -1], image[..., -1])
            assert_same(colours(made), function(colours(image), backend="single"))
            continue
        exact = image.astype(np.float64)
        product = function(exact[..., :-1] * exact[..., -1:], **params)
        alpha = function(exact[..., -1:], **params)
        plain = function(image, **params)
        weighed = np.divide(product, alpha, where=alpha > 0, out=plain[..., :-1].astype(np.float64))
        assert np.abs(made[..., :-1] - np.rint(weighed)).max() <= 1
        assert_same(made[..., -1], plain[..., -1])


@pytest.mark.parametrize(("name", "params"), WEIGHED, ids=ids)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opaque_images_are_as_without_alpha(name, params, dtype):
    image = with_holes(dtype)
    image[..., 3] = maximum(dtype)
    assert_same(FILTERS[name].function(image, **params, alpha=True), FILTERS[name].function(image, **params))


def test_hidden_colours_are_not_touched():
    image = np.ones((20, 20, 4), np.float32)
    image[:, 10:] = np.nan, np.inf, -np.inf, 0
    made = gpuimg.gaussian(image, sigma=1, alpha=True)
    np.testing.assert_allclose(made[made[..., 3] > 0][:, :3], 1, rtol=1e-6)


@pytest.mark.parametrize("params", [{"order": 0}, {"order": 1, "output_shape": (33, 37)}])
def test_what_only_moves_pixels_keeps_hidden_colours(params):
    image = with_holes(np.dtype("float32"))
    params = {"output_shape": (20, 50), **params}
    assert_same(gpuimg.resize(image, **params, alpha=True), gpuimg.resize(image, **params))


def test_a_border_that_would_be_of_another_colour():
    with pytest.raises(ValueError, match="cval must be 0"):
        gpuimg.gaussian(white_square(), mode="constant", cval=9, alpha=True)
    with pytest.raises(ValueError, match="cval must be 0"):
        gpuimg.pyramid_reduce(white_square(), mode="constant", cval=9, alpha=True)
    assert gpuimg.pyramid_reduce(white_square(), mode="constant", alpha=True).shape == (30, 30, 4)
    with pytest.raises(ValueError, match="cval must be 0"):
        gpuimg.rotate(white_square(), 10, cval=9, alpha=True)
    assert gpuimg.rotate(white_square(), 10, order=0, cval=9, alpha=True)[0, 0, 3] == 9


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("image", [white_square(), Image.fromarray(white_square())], ids=["array", "picture"])
def test_a_white_square_stays_white_when_it_is_warped(image, order, backend):
    rows, cols = np.indices((40, 40)) * 1.3 + 2.4
    made = [
        gpuimg.rotate(image, 33, order=order, alpha=True, backend=backend),
        gpuimg.warp(image, [[1.1, 0.3, -4], [-0.2, 0.9, 3.7], [0.001, 0, 1]], order=order, alpha=True, backend=backend),
        gpuimg.remap(image, rows, cols, order=order, alpha=True, backend=backend),
    ]
    for each in map(np.asarray, made):
        assert (each[..., 3] == 255).sum() > 100
        assert ((each[..., 3] > 0) & (each[..., 3] < 255)).any()
        assert (each[each[..., 3] > 0] == 255)[..., :3].all()


def test_an_empty_image():
    assert gpuimg.gaussian(np.zeros((0, 5, 4), np.uint8), alpha=True).shape == (0, 5, 4)
    assert gpuimg.invert(np.zeros((0, 5, 4), np.uint8), alpha=True).shape == (0, 5, 4)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["invert", "equalize_hist", "gaussian", "uniform", "resize", "sobel", "rgb2gray"])
def test_backends_agree(name, dtype, backend):
    entry = FILTERS[name]
    for channels in (4,) if entry.color else (2, 4):
        image = with_holes(dtype, channels)
        made, expected = (call(entry, image, alpha=True, backend=each) for each in (backend, "single"))
        if name == "uniform" and dtype.kind == "f" and backend == "cuda":
            assert_close(made, expected, image)  # sums in another order
        else:
            assert_same(made, expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_backends_agree_on_large_windows(dtype, backend):
    image = with_holes(np.dtype(dtype), shape=(90, 80))
    for size in (31, (40, 71)):
        made = gpuimg.uniform(image, size, alpha=True, backend=backend)
        assert_same(made, gpuimg.uniform(image, size, alpha=True, backend="single"))


def test_a_plan_shows_the_nodes():
    shown = str(gpuimg.plan("resize", (60, 60, 4), "uint8", output_shape=(25, 25), alpha=True))
    assert re.findall(r"(?:resample|fold|point) +([a-z]+)", shown) == [
        "resample",
        "translucent",
        "resample",
        "unpremultiply",
    ]
    explained = gpuimg.explain(gpuimg.invert, white_square(), alpha=True)
    assert explained.passes == ("invert", "colors")


# Files and chains -----------------------------------------------------------------------------------------------------


def run(*args):
    return CliRunner().invoke(cli, ["run", *map(str, args)])


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_files_with_alpha(tmp_path, suffix, channels, dtype):
    image = with_holes(np.dtype(dtype), channels)
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    gpuimg.save_image(source, image)
    done = run(source, "-o", target, "-f", "invert", "-f", "gaussian:sigma=1")
    assert done.exit_code == 0, done.output
    expected = gpuimg.gaussian(gpuimg.invert(image, alpha=True), 1, alpha=True)
    assert_same(gpuimg.open_image(target), expected)


def test_files_whose_channels_are_no_alpha(tmp_path):
    image = with_holes(np.dtype("uint8"))
    np.save(tmp_path / "in.npy", image)
    done = run(tmp_path / "in.npy", "-o", tmp_path / "out.npy", "-f", "invert")
    assert done.exit_code == 0, done.output
    assert_same(np.load(tmp_path / "out.npy"), 255 - image)


def test_pages_and_folders(tmp_path):
    stack = np.stack([with_holes(np.dtype("uint8"))] * 2)
    stack[1] = stack[1, ::-1]
    (tmp_path / "in").mkdir()
    gpuimg.save_image(tmp_path / "in" / "a.tif", stack, axes="NYXC")
    gpuimg.save_image(tmp_path / "in" / "b.png", stack[0])
    done = run(tmp_path / "in", "-o", tmp_path / "out", "-f", "invert")
    assert done.exit_code == 0, done.output
    inverted = np.concatenate((255 - stack[..., :3], stack[..., 3:]), axis=3)
    assert_same(gpuimg.open_image(tmp_path / "out" / "a.tif"), inverted)
    assert_same(gpuimg.open_image(tmp_path / "out" / "b.png"), inverted[0])
    done = run(tmp_path / "in" / "a.tif", "-o", tmp_path / "one.tif", "-f", "invert")
    assert done.exit_code == 0, done.output
    assert_same(gpuimg.open_image(tmp_path / "one.tif"), inverted)


@pytest.mark.parametrize("name", [name for name in OF_BYTES if not FILTERS[name].images])
def test_every_filter_on_the_command_line(name, tmp_path):
    from gpuimg.jobs.texts import plain, read_step, write_step

    entry = FILTERS[name]
    image = with_holes(np.dtype("uint8"))
    given = arguments(entry.examples[0], image)
    gpuimg.save_image(tmp_path / "in.png", image)
    step = write_step(name, given)
    given = read_step(step)[1]
    more = {} if entry.alpha == "channel" else {"alpha": True}
    expected = entry.function(image, **given, **more)
    if not isinstance(expected, np.ndarray) or expected.ndim < 2:
        done = run(tmp_path / "in.png", "-f", step)
        if name == "gradient":
            assert "returns 2 images" in done.output
        else:
            assert json.loads(done.output) == plain(expected)
        return
    done = run(tmp_path / "in.png", "-o", tmp_path / "out.tif", "-f", step)
    assert done.exit_code == 0, done.output
    found = gpuimg.open_image(tmp_path / "out.tif")
    assert_same(found, expected if expected.dtype != bool else expected.astype(np.uint8) * 255)


def test_a_chain_goes_on_without_alpha():
    image = with_holes(np.dtype("uint8"))
    chain = gpuimg.chain("invert", ("flip", {"axis": 0}), "rgb2gray", ("threshold", {"value": 100}))
    grey = gpuimg.rgb2gray(gpuimg.flip(255 - colours(image), 0))
    assert_same(chain(image, alpha=True), grey > 100)
    made = gpuimg.chain("invert", ("blend", {"other": image, "alpha": 0.25}))(image, alpha=True)
    assert_same(made, gpuimg.blend(gpuimg.invert(image, alpha=True), image, 0.25))


def test_a_chain_of_pictures():
    picture = Image.fromarray(with_holes(np.dtype("uint8")))
    made = gpuimg.chain("invert", "invert")(picture)
    assert_same(np.asarray(made), np.asarray(picture))
