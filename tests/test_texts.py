"""Steps as texts: what is read, what is refused, and that each chain has one text."""

from contextlib import suppress
from inspect import signature

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import gpuimg
from gpuimg.jobs.texts import MAX_TEXT, parameters, read_step, write_step
from tests.conftest import noise


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("gaussian", {}),
        ("gaussian:", {}),
        ("gaussian:sigma=2", {"sigma": 2}),
        ("gaussian: sigma = 2.5 , mode = wrap", {"sigma": 2.5, "mode": "wrap"}),
        ("gaussian:sigma=(1, 2)", {"sigma": (1, 2)}),
        ("gaussian:sigma=1e-3,cval=-7", {"sigma": 1e-3, "cval": -7}),
        ("gaussian:cval=inf", {"cval": np.inf}),
        ("gaussian:cval=-inf", {"cval": -np.inf}),
        ("gaussian:cval=nan", {"cval": np.nan}),
        ("gaussian:mode='a,b=c'", {"mode": "a,b=c"}),
        (r"gaussian:mode='C:\new\\it\'s'", {"mode": r"C:\new\it's"}),
        ('gaussian:mode="it\'s",', {"mode": "it's"}),
        ("rescale_intensity:in_range=[nan, (-inf,), (word), ()]", {"in_range": [np.nan, (-np.inf,), "word", ()]}),
        ("sobel:axis=None", {"axis": None}),
        ("resize:output_shape=(3, 4),anti_aliasing=True", {"output_shape": (3, 4), "anti_aliasing": True}),
        ("erosion:footprint=[[0, 1], [1, 1]]", {"footprint": [[0, 1], [1, 1]]}),
        ("gaussian:2", {"sigma": 2}),
        ("gaussian: 2 ,mode=wrap", {"sigma": 2, "mode": "wrap"}),
        ("gaussian:(1,2.5),cval=1", {"sigma": (1, 2.5), "cval": 1}),
        ("gaussian:1,2.5,cval=1", {"sigma": (1, 2.5), "cval": 1}),
        ("gaussian:cval=1,sigma=1e0,2.5", {"cval": 1, "sigma": (1.0, 2.5)}),
        ("gaussian:cval=1,sigma=1,2,", {"cval": 1, "sigma": (1, 2)}),
        ("resize:output_shape=480,640", {"output_shape": (480, 640)}),
        ("resize:480,640,order=0", {"output_shape": (480, 640), "order": 0}),
        ("resize:output_shape=480,640,3,order=0", {"output_shape": (480, 640, 3), "order": 0}),
        ("rescale_intensity:in_range=-inf,nan", {"in_range": (-np.inf, np.nan)}),
        ("rescale_intensity:out_range=-1,0x10,in_range=uint8", {"out_range": (-1, 16), "in_range": "uint8"}),
        ("astype:uint16", {"dtype": "uint16"}),
        ("blend:'two.png',alpha=0.5", {"other": "two.png", "alpha": 0.5}),
        ("erosion:[[0,1],[1,1]]", {"footprint": [[0, 1], [1, 1]]}),
        ("erosion:footprint=disk(1)", {"footprint": ((0, 1, 0), (1, 1, 1), (0, 1, 0))}),
        ("erosion:diamond( 1 ),mode=wrap", {"footprint": ((0, 1, 0), (1, 1, 1), (0, 1, 0)), "mode": "wrap"}),
        ("opening:square(2)", {"footprint": ((1, 1), (1, 1))}),
        ("pad:((1,2),(3,4)),mode=mirror", {"pad_width": ((1, 2), (3, 4)), "mode": "mirror"}),
        ("crop:1,2", {"crop_width": (1, 2)}),
        ("where:a='two.png',b=0", {"a": "two.png", "b": 0}),
        ("clip:50,200", {"min": 50, "max": 200}),
        ("clip:50", {"min": 50}),
        ("clip:None,200", {"min": None, "max": 200}),
        ("clip:50,max=200", {"min": 50, "max": 200}),
        ("apply_hysteresis_threshold:-1.5,inf", {"low": -1.5, "high": np.inf}),
        ("percentile:50,3,5,mode=wrap", {"percentile": 50, "size": (3, 5), "mode": "wrap"}),
        ("rotate:30,True,(1,2),0", {"angle": 30, "resize": True, "center": (1, 2), "order": 0}),
        ("pad:2,edge,7", {"pad_width": 2, "mode": "edge", "cval": 7}),
        ("astype:uint8,True", {"dtype": "uint8", "scale": True}),
        ("canny:1,2", {"sigma": (1, 2)}),
        ("gradient:wrap", {"mode": "wrap"}),
        ("where:0,255", {"a": 0, "b": 255}),
        ("erosion:disk(1),mode=wrap", {"footprint": ((0, 1, 0), (1, 1, 1), (0, 1, 0)), "mode": "wrap"}),
        ("subtract:other=two.png", {"other": "two.png"}),
        ("subtract:folder/two.png,int16", {"other": "folder/two.png", "dtype": "int16"}),
        (r"blend:C:\new\2.tif,0.5", {"other": r"C:\new\2.tif", "alpha": 0.5}),
        ("where:a=" + 50 * "n" + ".png,b=-1.5e2", {"a": 50 * "n" + ".png", "b": -150}),
        ("add:other=0x1f", {"other": 31}),
        ("add:other=two", {"other": "two"}),
        ("label2rgb:image=None", {"image": None}),
    ],
)
def test_values_are_literals(text, params):
    np.testing.assert_equal(read_step(text)[1], params)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gaussian:sigma=" + "9" * 41, "gaussian: sigma must have numbers of at most 40 characters, got '999"),
        ("gaussian:sigma=-" + "0x" + "f" * 5000, "sigma must have numbers of at most 40 characters"),
        ("gaussian:sigma=1e400", "gaussian: sigma must have numbers that float64 holds, got '1e400'"),
        ("gaussian:sigma=10**5000", "sigma must be a number"),
        ("gaussian:sigma=" + "[" * 9 + "]" * 9, "sigma must have at most 8 brackets within each other"),
        ("gaussian:sigma=" + "[" * 9000 + "]" * 9000, "sigma must have at most 8 brackets within each other"),
        ("gaussian:sigma=" + "(" * 5000, "parameters are written name=value"),
        ("gaussian:sigma=" + "-" * 9000 + "1", "sigma must have numbers of at most 40 characters"),
        ("gaussian:sigma=" + "not " * 4000 + "1", "sigma must be a number"),
        ("gaussian:sigma=" + "1+" * 9000 + "1", "sigma must have numbers of at most 40 characters"),
        ("gaussian:sigma=" + "a." * 9000 + "a", "sigma must have numbers of at most 40 characters"),
        ("gaussian:sigma={1: 2}", "sigma must be a number"),
        ("gaussian:sigma=1+2j", "sigma must be a number"),
        ("gaussian:sigma=[1 2]", "sigma must be a number"),
        ("gaussian:sigma=(,)", "sigma must be a number"),
        ("gaussian:sigma==1", "sigma must be a number"),
        ("gaussian:sigma=(1]", "parameters are written name=value"),
        ("gaussian:sigma='1", "parameters are written name=value"),
        ("gaussian:sigma='a\0b'", "parameters are written name=value"),
        ("gaussian:sigma=a\0b", "parameters are written name=value"),
        ("gaussian:,", "parameters are written name=value"),
        ("gaussian:,2", "parameters are written name=value"),
        ("gaussian:2,wrap", "parameters are written name=value"),
        ("gaussian:2,sigma=3", "parameters are written name=value"),
        ("gaussian:mode=wrap,3", "parameters are written name=value"),
        ("gaussian:mode='1',3", "parameters are written name=value"),
        ("gaussian:sigma=(1,2),3", "parameters are written name=value"),
        ("gaussian:sigma=[1],3", "parameters are written name=value"),
        ("gaussian:sigma=1,(2,3)", "parameters are written name=value"),
        ("gaussian:sigma=1,True", "parameters are written name=value"),
        ("gaussian:sigma=1," + "9" * 41, "parameters are written name=value"),
        ("gaussian:2,3,4.0,wrap", "parameters are written name=value"),
        ("clip:1,2,3", "parameters are written name=value"),
        ("clip:1,min=2", "parameters are written name=value"),
        ("clip:max=1,(2,)", "parameters are written name=value"),
        ("clip:two.png", "clip: min must be a number, a word"),
        ("add:other=1e400", "add: other must have numbers that float64 holds"),
        ("add:other=" + "1_" * 5000, "add: other must have numbers of at most 40 characters"),
        ("gaussian:sigma", "parameters are written name=value"),
        ("gaussian:2 3", "parameters are written name=value"),
        ("gaussian:x+y", "gaussian: sigma must be a number, a word"),
        ("erosion:footprint=ring(3)", "a footprint may also be disk, square, diamond, as in disk(3)"),
        ("erosion:disk", "erosion: footprint must be disk(n) with a whole number n from 1 to 49, got 'disk'"),
        ("erosion:disk(50)", "must be disk(n) with a whole number n from 1 to 49, got 'disk ( 50 )'"),
        ("erosion:disk(disk(1))", "footprint must be a number"),
        ("erosion:square()", "must be square(n) with a whole number n"),
        ("erosion:diamond(1)(2)", "footprint must be a number"),
        ("gaussian:disk(1)", "gaussian: sigma must be a number"),
        ("rgb2hsv:2", "parameters are written name=value"),
        ("gaus\0sian:sigma=2", "there is no filter 'gaus"),
        ("x" * (MAX_TEXT - 1), "there is no filter 'xxx"),
        ("gaussian:" + "x" * 9000 + "=1", "gaussian has no parameter 'xxx"),
        ("gaussian:sigma=" + " " * MAX_TEXT, f"at most {MAX_TEXT} characters, got {MAX_TEXT + 15}"),
        ("gaussian:sigma=" + " " * 19000 + "'", "parameters are written name=value"),
    ],
    ids=lambda text: text[:30].replace("\0", "NUL"),
)
def test_what_is_refused_in_one_sentence(text, words):
    with pytest.raises(ValueError, match=r"^[^\n]{1,300}$") as error:
        read_step(text)
    assert words in str(error.value)


ALPHABET = "gausin:=,.()[]'\"\\ \t\n\0 01e+-x_*{}#é"


@given(st.text(ALPHABET, max_size=60))
def test_any_text_is_read_or_refused(tail):
    for text in (tail, f"gaussian:{tail}", f"gaussian:sigma={tail}", f"clip:{tail}", f"add:other={tail}"):
        with suppress(ValueError):
            step = read_step(text)
            written = write_step(*step)
            assert_same_step(read_step(written), step)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(st.characters(exclude_characters="\0")),
    lambda values: st.lists(values, max_size=3) | st.tuples(values) | st.tuples(values, values),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_any_value_is_read_as_it_was_written(size, cval):
    step = ("median", {"size": size, "cval": cval})
    assert_same_step(read_step(write_step(*step)), step)


NUMBERS = st.integers(-(10**30), 10**30) | st.floats()


@given(st.lists(NUMBERS, min_size=1, max_size=4), NUMBERS, st.booleans())
@example([float("nan")], 0, False)  # also the name of a parameter
def test_numbers_need_no_brackets(numbers, cval, is_named):
    written = write_step("median", {"size": tuple(numbers), "cval": cval})
    bare = ",".join(map(repr, numbers)).replace("e+", "e")
    text = f"median:{'size=' * is_named}{bare},cval={cval!r}".replace("e+", "e")
    step = read_step(text)
    if len(numbers) == 1:
        assert write_step("median", {"size": numbers[0], "cval": cval}) == write_step(*step)
    else:
        assert write_step(*step) == written
        np.testing.assert_equal(step[1], {"size": tuple(numbers), "cval": cval})


def number_first(entry):
    """The first parameter if a number can stand for it."""
    first = next(iter(parameters(entry).values()), None)
    if first is None or first.name in (*entry.images, *entry.operands):
        return None
    values = (first.default, *[example.get(first.name) for example in entry.examples])
    return first.name if any(isinstance(value, int | float) for value in values) else None


@pytest.mark.parametrize("entry", [*filter(number_first, gpuimg.FILTERS.values())], ids=lambda entry: entry.name)
def test_numbers_are_one_value_where_the_filter_takes_several(entry):
    first = number_first(entry)
    pair = (0, 1) if first == "axis" else (3, 5)
    needed = {key: value for key, value in entry.examples[0].items() if key != first}
    text = write_step(entry.name, {first: pair, **needed}).replace(f"{first}=(", "").replace(")", "", 1)
    if takes(entry, **needed, **{first: pair}):
        assert read_step(text)[1][first] == pair
    else:
        one, other = pair
        assert read_step(text.replace(f"{one},{other}", f"{one}"))[1][first] == one
        with suppress(ValueError):
            assert read_step(text)[1][first] == one


def takes(entry, **params):
    try:
        gpuimg.plan(entry.name, (30, 40), np.uint8, **params)
    except (TypeError, ValueError):
        return False
    return True


def assert_same_step(found, expected):
    """The same but for defaults, which a text leaves out, and the kind of whole numbers where floats are taken."""
    assert found[0] == expected[0]
    assert write_step(*found) == write_step(*expected)
    assert set(found[1]) <= set(expected[1])
    for name, value in found[1].items():
        assert repr(value).replace(".0", "") == repr(expected[1][name]).replace(".0", "")


EXAMPLES = [(entry, example) for entry in gpuimg.FILTERS.values() for example in entry.examples]


@pytest.mark.parametrize(("entry", "example"), EXAMPLES, ids=lambda part: getattr(part, "name", ""))
def test_every_example_is_read_as_it_was_written(entry, example):
    image = noise((8, 9), np.uint8)
    params = {name: value(image) if callable(value) else value for name, value in example.items()}
    params |= dict.fromkeys([name for name, value in params.items() if entry.is_image(name, value)], "two.png")
    chain = gpuimg.chain((entry.name, params))
    [text] = chain.texts()
    assert " " not in text
    again = gpuimg.chain(read_step(text))
    assert again.texts() == [text]
    [(_, found)] = again.steps
    left_out = {name: value for name, value in params.items() if name not in found}
    assert write_step(entry.name, params) == text
    assert all(np.array_equal(entry_default(entry, name), value) for name, value in left_out.items())
    for name, value in found.items():
        np.testing.assert_array_equal(value, params[name])


def entry_default(entry, name):
    return signature(entry.function).parameters[name].default


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("gaussian", {"sigma": 1.0, "mode": "reflect", "cval": 0}),
        ("gaussian:sigma=2,mode=wrap", {"mode": "wrap", "sigma": np.float32(2)}),
        ("gaussian:sigma=True", {"sigma": True}),
        ("gaussian:cval=-0.0", {"cval": -0.0}),
        ("gaussian:sigma=1e16", {"sigma": 1e16}),
        ("gaussian:cval=-inf", {"cval": -np.inf}),
        ("median:size=3.0", {"size": 3.0}),  # which the filter refuses, unlike 3
        ("erosion:footprint=[[0,1],[1,1]]", {"footprint": np.array([[0, 1], [1, 1]], np.uint8)}),
        ("astype:dtype=uint16", {"dtype": np.uint16}),
        ("astype:dtype=uint16", {"dtype": np.dtype("u2")}),
        ("resize:output_shape=(3,4),anti_aliasing=False", {"output_shape": (3, 4), "anti_aliasing": False}),
        ("blend:other='two.png',alpha=0.5", {"alpha": 0.5, "other": "two.png"}),
        ("blend:other='None',alpha=0.5", {"alpha": 0.5, "other": "None"}),
    ],
)
def test_a_step_has_one_text(text, params):
    name = text.partition(":")[0]
    assert write_step(name, params) == text
    assert write_step(*read_step(text)) == text


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("blend", {"other": np.zeros((2, 2)), "alpha": 1}, "blend: other is an image, which cannot be written as text"),
        ("gaussian", {"sigma": {1: 2}}, "gaussian: sigma must be a number, a word"),
        ("gaussian", {"sigma": 10**50}, "numbers of at most 40 characters"),
        ("gaussian", {"mode": "a\0b"}, "parameters are written"),
        ("gaussian", {"backend": "single"}, "gaussian has no parameter 'backend'"),
        ("threshold", {}, "threshold needs 'value'"),
    ],
)
def test_what_has_no_text(name, params, words):
    with pytest.raises(ValueError, match=words):
        gpuimg.chain((name, params)).texts()
