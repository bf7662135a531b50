"""The service: what it answers, what it refuses, and what becomes of its jobs."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import gpuimg
from gpuimg import stopping
from gpuimg.jobs.texts import plain
from gpuimg.service import core, schema, work
from gpuimg.service.cache import Answer, Cache
from gpuimg.service.core import Service
from gpuimg.service.limits import Limits
from gpuimg.service.loads import Loads
from tests.conftest import SCALAR, wait_until
from tests.service import file_of, running

COLOURS = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
GREY = COLOURS[..., 0].copy()


@pytest.fixture(scope="module")
def client():
    with running(Service) as found:
        yield found


def serving(**settings):
    return running(lambda: Service(**settings))


def limited(**limits):
    return serving(limits=Limits(**limits))


def detail(reply, status):
    assert reply.status == status, reply.body
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["status"] == status
    return reply.json["detail"]


# Results ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "TIFF", "NPY"])
@pytest.mark.parametrize("image", [GREY, COLOURS, GREY.astype(np.uint16) * 257], ids=["grey", "colours", "deep"])
def test_pixels_are_those_of_direct_calls(client, form, image):
    reply = client.apply(file_of(image, form) if form != "TIFF" else tiff_of(image), "gaussian:sigma=2", "median")
    assert reply.status == 200
    expected = gpuimg.median(gpuimg.gaussian(image, sigma=2))
    np.testing.assert_array_equal(opened(reply), expected)


def tiff_of(image, **settings):
    written = BytesIO()
    tifffile.imwrite(written, image, **settings)
    return written.getvalue()


def opened(reply):
    if reply.headers["Content-Type"] == "image/tiff":
        return tifffile.imread(BytesIO(reply.body))
    return reply.pixels


def test_without_a_filter_a_file_is_converted(client):
    for media_type in ("image/png", "image/tiff", "application/x-npy"):
        reply = client.apply(file_of(COLOURS), Accept=media_type)
        assert reply.headers["Content-Type"] == media_type
        np.testing.assert_array_equal(opened(reply), COLOURS)


def test_a_result_that_is_no_image_is_json(client):
    reply = client.apply(file_of(COLOURS), "rgb2gray", "histogram:bins=4")
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json == [each.tolist() for each in gpuimg.histogram(gpuimg.rgb2gray(COLOURS), bins=4)]
    assert client.apply(file_of(GREY), "threshold_otsu").json == gpuimg.threshold_otsu(GREY)
    assert client.apply(file_of(GREY), "peak_local_max:2").json == gpuimg.peak_local_max(GREY, 2).tolist()


def test_every_page_of_a_tiff(client):
    pages = np.stack([GREY, 255 - GREY, np.flipud(GREY)])
    reply = client.apply(tiff_of(pages, photometric="minisblack"), "gaussian:sigma=1")
    np.testing.assert_array_equal(opened(reply), gpuimg.gaussian(pages, sigma=1, axes="NYX"))


def test_alpha(client):
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 4), np.uint8)
    expected = gpuimg.gaussian(gpuimg.invert(image, alpha=True), 1, alpha=True)
    np.testing.assert_array_equal(client.apply(file_of(image), "invert", "gaussian:sigma=1").pixels, expected)
    np.testing.assert_array_equal(client.apply(file_of(image, "NPY"), "invert").pixels, 255 - image)
    grey = gpuimg.invert(gpuimg.rgb2gray(image))
    np.testing.assert_array_equal(client.apply(file_of(image), "rgb2gray", "invert").pixels, grey)


def test_axes_of_an_npy(client):
    stack = np.stack([COLOURS, 255 - COLOURS])
    reply = client.apply(file_of(stack, "NPY"), "rgb2gray", "median", axes="TYXC")
    np.testing.assert_array_equal(reply.pixels, gpuimg.median(gpuimg.rgb2gray(stack, axes="TYXC"), axes="TYX"))
    assert "axes" in detail(client.apply(file_of(stack, "NPY"), "median"), 422)
    assert "Y and X" in detail(client.apply(file_of(stack, "NPY"), "median", axes="TTYX"), 422)
    for steps in ([], ["invert"]):
        reply = client.apply(file_of(GREY, "NPY"), *steps, axes="YZTX")
        assert "YZTX" in detail(reply, 422)
        assert reply.json["parameter"] == "axes"


def test_pixels_of_stacks_are_counted_by_page():
    stack = np.zeros((40, 10, 30), np.uint8)
    with limited(pixels=400) as client:
        for body, axes in ((tiff_of(stack, photometric="minisblack"), None), (file_of(stack[:10], "NPY"), "NYX")):
            assert client.apply(body, "invert", axes=axes).status == 200
        wide = np.zeros((2, 1, 300, 3), np.uint8)
        reply = client.apply(file_of(wide, "NPY"), "resize:output_shape=(2,300)", axes="NYXC")
        assert "over the limit" in detail(reply, 422)
        text = client.get("/metrics").body.decode()
        assert re.search(r"gpuimg_megapixels_total 0\.015", text)


def test_profile_and_resolution_are_kept(client):
    profile = bytes(16) + b"RGB " + bytes(180)
    for source in ("PNG", "JPEG", "TIFF"):
        body = file_of(COLOURS, source, icc_profile=profile, dpi=(300, 150))
        for media_type in ("image/png", "image/jpeg", "image/tiff"):
            found = Image.open(BytesIO(client.apply(body, "invert", Accept=media_type).body))
            assert found.info["icc_profile"] == profile
            assert tuple(map(float, found.info["dpi"])) == pytest.approx((300, 150), rel=1e-4)


@pytest.mark.parametrize(
    ("accept", "steps", "expected"),
    [
        ("", ["invert"], "image/jpeg"),
        ("*/*", ["invert"], "image/jpeg"),
        ("image/*;q=0.1", ["invert"], "image/jpeg"),
        ("image/png", ["invert"], "image/png"),
        ("image/webp, image/png;q=0.3, image/tiff;q=0.4", ["invert"], "image/tiff"),
        ("image/png, application/x-npy;q=0.5", ["sobel"], "application/x-npy"),
        ("image/png;q=0, */*", ["invert"], "image/jpeg"),
        ("*/*", ["sobel"], "image/tiff"),
        ("*/*", ["astype:dtype=uint16"], "image/png"),
        ("text/html, IMAGE/PNG", ["invert"], "image/png"),
    ],
)
def test_the_format_of_the_answer(client, accept, steps, expected):
    reply = client.apply(file_of(COLOURS, "JPEG"), *steps, Accept=accept)
    assert reply.status == 200, reply.body
    assert reply.headers["Content-Type"] == expected
    assert reply.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", ["text/html", "image/webp;q=1", "image/png;q=0", "image/png;q=x"])
def test_no_format_that_is_written(client, accept):
    reply = client.apply(file_of(COLOURS), "invert", Accept=accept)
    assert "image/png" in detail(reply, 406)
    assert reply.json["parameter"] == "Accept"


def test_no_format_holds_the_result(client):
    reply = client.apply(file_of(COLOURS), "sobel", Accept="image/png, image/jpeg")
    assert "float32" in detail(reply, 406)
    assert reply.json["rule"] == "one of image/tiff, application/x-npy"


def test_an_answer_says_what_it_took(client):
    reply = client.apply(file_of(COLOURS), "gaussian:sigma=1.25", "sobel", Accept="application/x-npy")
    parts = dict(re.findall(r"(\w+);dur=([\d.]+)", reply.headers["Server-Timing"]))
    assert set(parts) == {"reading", "queue", "decode", "compute", "encode", "f0", "f1"}
    assert re.search(r'f1;dur=[\d.]+;desc="sobel \((single|multicore)\)"', reply.headers["Server-Timing"])


# What is known of the service ---------------------------------------------------------------------------------------


def test_schemas_are_json():
    for name in gpuimg.FILTERS:
        json.dumps(schema.filter_schema(name), allow_nan=False)


def test_every_parameter_of_every_filter_has_a_schema(client):
    filters = {each["name"]: each for each in client.get("/v1/filters").json["filters"]}
    assert set(filters) == set(gpuimg.filters.all_filters())
    for name, entry in gpuimg.filters.all_filters().items():
        properties = filters[name]["parameters"]["properties"]
        assert set(properties) == set(schema.parameters(entry)) - set(entry.images)
        assert filters[name]["usable"] == (not entry.images and name != "gradient")
        for each in properties.values():
            if each.get("default") is not None:
                assert schema._fits(each["default"], each)


@pytest.mark.parametrize("name", [name for name, entry in gpuimg.filters.all_filters().items() if not entry.images])
def test_every_filter_takes_its_examples(client, name):
    entry = gpuimg.filters.all_filters()[name]
    image = COLOURS if entry.color else GREY
    image = image if image.dtype in entry.dtypes else image.astype(np.float32) / 256
    for example in entry.examples:
        params = {key: value(image) if callable(value) else value for key, value in example.items()}
        if any(entry.is_image(*each) for each in params.items()):
            continue  # no request holds a second image
        (text,) = gpuimg.chain((name, params)).texts()
        reply = client.apply(file_of(image, "NPY"), text)
        if name == "gradient":
            assert "makes 2 images" in detail(reply, 422)
            continue
        assert reply.status == 200, reply.body
        expected = work.read_chain([text], 1)(image)
        found = reply.pixels if reply.headers["Content-Type"] == "application/x-npy" else reply.json
        if name not in SCALAR:
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
        else:
            assert found == plain(expected)


def test_info(client):
    info = client.get("/v1/info").json
    assert info["version"] == gpuimg.__version__
    assert {each["name"] for each in info["backends"]} == {"single", "multicore", "processes", "cuda"}
    assert info["limits"]["pixels"] == client.service.limits.pixels


def test_head_has_no_body(client):
    for path in ("/healthz", "/v1/filters", "/", "/metrics"):
        reply = client("HEAD", path)
        assert (reply.status, reply.body) == (200, b"")
        assert reply.headers["Content-Type"] == client.get(path).headers["Content-Type"]
    assert client("HEAD", "/v1/apply").status == 405
    assert client("HEAD", "/v1/results/" + "0" * 64).status == 404


def test_health(client):
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ready"}


def test_metrics(client):
    client.apply(file_of(GREY), "gaussian:sigma=1.5")
    text = client.get("/metrics").body.decode()
    for name in ("requests_total", "requests_in_progress", "requests_queued", "part_seconds_bucket", "bytes_total"):
        assert f"gpuimg_{name}" in text
    assert re.search(r'gpuimg_filters_total\{backend="\w+",filter="gaussian"\} [1-9]', text)
    assert wait_until(lambda: "gpuimg_requests_in_progress 0.0" in client.get("/metrics").body.decode())
    assert client.service.held_bytes == 0


def test_the_page(client):
    reply = client.get("/")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    for path in ("/../app.py", "/page/index.html", "/..%2fapp.py", "/__init__.py"):
        detail(client.get(path), 404)


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("gausian", "did you mean gaussian"),
        ("gaussian:sigma=1e9", "sigma must be a number from 0 to 200"),
        ("gaussian:sigma=nan", "sigma must be"),
        ("gaussian:sigma=None", "sigma must be"),
        ("gaussian:sigma='__import__(\"os\")'", "sigma must be"),
        ("gaussian:sigma=open('x')", "sigma must be"),
        ("gaussian:mode=far", "mode must be one of reflect"),
        ("gaussian:backend=cuda", "no parameter 'backend'"),
        ("gaussian:out=1", "no parameter 'out'"),
        ("median:size=1001", "size must be a whole number from 1 to 255"),
        ("median:size=2.5", "size must be"),
        ("median:size=True", "size must be"),
        ("minimum:size=(3,3,3)", "size must be"),
        ("erosion:footprint=" + "[" * 50 + "1" + "]" * 50, "brackets"),
        ("resize:output_shape=(100000,5)", "output_shape must be"),
        ("resize:output_shape=(30000,30000)", "over the limit"),
        ("resize:output_shape=(5,)", "output_shape must be"),
        ("blend:other='/etc/passwd',alpha=0.5", "takes a second image"),
        ("blend:other=/etc/passwd,alpha=0.5", "takes a second image"),
        ("subtract:/etc/passwd", "other must be a number"),
        ("where:a=/etc/passwd,b=0", "a must be a number"),
        ("gradient", "makes 2 images"),
        ("threshold", "needs 'value'"),
        ("lut:table=[1,2,3]", "lut:"),
        ("gaussian:sigma=" + "9" * 500, "characters"),
        ("x" * 30_000, "characters"),
    ],
)
def test_wrong_steps(client, step, words):
    assert words in detail(client.apply(file_of(COLOURS), step), 422)


def test_a_problem_names_parameter_rule_and_value(client):
    assert client.apply(file_of(GREY), "median:size=0").json == {
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "median: size must be a whole number from 1 to 255 or a list of 2, each a whole number from 1 to "
        "255, got 0",
        "filter": "median",
        "step": 0,
        "parameter": "size",
        "rule": "a whole number from 1 to 255 or a list of 2, each a whole number from 1 to 255",
        "value": "0",
    }


def png_header(cols, rows, depth=8, colour=2):
    head = struct.pack(">IIBBBBB", cols, rows, depth, colour, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk
        + struct.pack(">I", len(data))
        + b"IDAT"
        + data
        + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    )


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "the body is empty"),
        (b"hello", 415, "not a TIFF, PNG, JPEG or NPY file"),
        (b"<svg/>", 415, "not a TIFF"),
        (png_header(60_000, 60_000), 413, "over the limit"),
        (png_header(2**31 - 1, 2**31 - 1), 413, "over the limit"),
        (png_header(9_000, 9_000, 16, 6), 413, "over the limit"),
        (png_header(50, 50), 422, "damaged PNG"),
        (file_of(COLOURS)[:-200], 422, "damaged PNG"),
        (file_of(np.array([[{}]], object), "NPY"), 422, "object"),
        (file_of(COLOURS.astype(np.complex64), "NPY"), 422, "complex64"),
    ],
)
def test_wrong_bodies(body, status, words):
    with limited(decoded_bytes=600_000_000) as client:
        assert words in detail(client.apply(body, "invert"), status)


def test_wrong_requests(client):
    assert "no query parameter" in detail(client("POST", "/v1/apply?filter=invert", b"x"), 400)
    assert "compressed" in detail(client.apply(b"x", "invert", Content_Encoding="gzip"), 415)
    assert "17 filters" in detail(client.apply(file_of(GREY), *["invert"] * 17), 422)
    reply = client("DELETE", "/v1/apply")
    detail(reply, 405)
    assert reply.headers["Allow"] == "POST"
    detail(client.get("/v1/nothing"), 404)
    detail(client.get("/v1/filters?x=1"), 400)


def test_a_format_that_is_not_allowed():
    with limited(formats=("PNG",)) as client:
        assert "JPEG files are not read" in detail(client.apply(file_of(COLOURS, "JPEG"), "invert"), 415)
        assert "TIFF files are not written" in detail(
            client.apply(file_of(COLOURS), "invert", Accept="image/tiff"), 406
        )


def test_a_token():
    with serving(token="s3cret") as client:
        body = file_of(GREY)
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            for reply in (client.apply(body, "invert", **given), client.get("/metrics", **given)):
                assert "token" in detail(reply, 401)
                assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert client.apply(body, "invert", Authorization="Bearer s3cret").status == 200
        for path in ("/healthz", "/readyz", "/"):
            assert client.get(path).status == 200


# Bodies that are too long, too slow, or never come ------------------------------------------------------------------


@contextmanager
def connected(client):
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as channel:
        yield channel


def answer_of(channel):
    reply = http.client.HTTPResponse(channel)
    reply.begin()
    return reply, json.loads(reply.read())


def chunked(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


HEAD = b"POST /v1/apply?f=invert HTTP/1.1\r\nHost: here\r\n"


@pytest.mark.parametrize("kind", ["length", "chunks", "expect"])
def test_a_body_over_the_limit(kind):
    with limited(body_bytes=100_000) as client, connected(client) as channel:
        part = bytes(50_000)
        if kind == "length":
            channel.sendall(HEAD + b"Content-Length: 5000000\r\n\r\n")
            for _ in range(100):  # the answer comes though all is sent before it is read
                channel.sendall(part)
        elif kind == "expect":
            channel.sendall(HEAD + b"Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")
        else:
            channel.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(100):
                channel.sendall(chunked(part))
            channel.sendall(chunked(b""))
        reply, problem = answer_of(channel)
        assert reply.status == 413
        assert problem["limit"] == "body_bytes"
        assert reply.headers["Connection"] == "close"
        assert client.get("/healthz").status == 200
        assert wait_until(lambda: client.service.held_bytes == 0)


def test_a_body_in_chunks(client):
    with connected(client) as channel:
        body = file_of(GREY)
        channel.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 500):
            channel.sendall(chunked(body[start : start + 500]))
        channel.sendall(chunked(b""))
        reply = http.client.HTTPResponse(channel)
        reply.begin()
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(reply.read()))), 255 - GREY)


def test_a_body_that_does_not_come():
    with limited(reading_seconds=0.3) as client, connected(client) as channel:
        channel.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(10))
        reply, problem = answer_of(channel)
        assert reply.status == 408
        assert "in time" in problem["detail"]
        assert wait_until(lambda: client.service.held_bytes == 0)


def test_a_client_that_goes_while_it_sends(client):
    with connected(client) as channel:
        channel.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(10))
        assert wait_until(lambda: client.service.held_bytes == 1000)
    assert wait_until(lambda: client.service.held_bytes == 0)


def test_only_so_many_bodies_are_read_at_a_time():
    with limited(reading=1) as client:
        with connected(client) as channel:
            channel.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(10))
            assert wait_until(lambda: client.service.reading == 1)
            reply = client.apply(file_of(GREY), "invert")
            assert "being read" in detail(reply, 503)
            assert reply.headers["Retry-After"]
            channel.sendall(bytes(990))
            answer_of(channel)
            assert client.service.reading == 0
            assert client.apply(file_of(GREY), "invert").status == 200
        with connected(client) as channel:
            channel.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(10))
            assert wait_until(lambda: client.service.reading == 1)
        assert wait_until(lambda: client.service.reading == 0)


def test_bodies_take_only_so_much_memory():
    with limited(body_bytes=10_000, received_bytes=15_000) as client, connected(client) as channel:
        channel.sendall(HEAD + b"Content-Length: 10000\r\n\r\n")
        assert wait_until(lambda: client.service.held_bytes == 10_000)
        reply = client.apply(bytes(9_000), "invert")
        assert "busy" in detail(reply, 503)
        assert reply.headers["Retry-After"]


# Load ---------------------------------------------------------------------------------------------------------------


class Held:
    """Jobs that run until they are let go or stopped."""

    def __init__(self, monkeypatch):
        self.go = threading.Event()
        self.began = []
        self.stopped = []
        monkeypatch.setattr(core, "perform", self.perform)

    def perform(self, request):
        self.began.append(request)
        try:
            while not self.go.wait(0.01):
                stopping.look()
        except stopping.Stopped:
            self.stopped.append(request)
            raise
        return work.Made(Answer(b"pixels", "image/png"), {"decode": 0.0, "encode": 0.0}, [], 1)


@pytest.fixture
def held(monkeypatch):
    found = Held(monkeypatch)
    yield found
    found.go.set()


class Asked(threading.Thread):
    """A request in a thread; ``number`` makes it different from others."""

    def __init__(self, client, number, **headers):
        super().__init__()
        self.ask = lambda: client.apply(file_of(np.full((4, 4), number, np.uint8)), "invert", **headers)
        self.reply = None
        self.start()

    def run(self):
        with suppress(OSError):
            self.reply = self.ask()


def test_what_does_not_fit_is_refused_at_once(held):
    with limited(running=1, queued=2) as client:
        asked = []
        for number in range(3):
            asked.append(Asked(client, number))
            assert wait_until(lambda count=number + 1: len(held.began) + client.service.pool.waiting == count)
        reply = client.apply(file_of(GREY), "invert")
        assert "the maximum number of requests is waiting" in detail(reply, 503)
        assert reply.headers["Retry-After"] == "1"
        assert client.get("/healthz").status == client.get("/metrics").status == 200
        held.go.set()
        for each in asked:
            each.join(20)
            assert each.reply.status == 200


DECODED = ("decode", "PNG")


def test_who_would_wait_too_long_is_refused_before_the_body_is_sent(held):
    with limited(running=1, queued=9, waiting_seconds=5.0) as client:
        pace = client.service.pace
        pace.learn([(DECODED, 4.0)], 16)  # four seconds for each
        asked = [Asked(client, 0)]
        assert wait_until(lambda: len(held.began) == 1)
        asked.append(Asked(client, 1))  # four seconds until the first makes place
        assert wait_until(lambda: client.service.pool.waiting == 1)
        with connected(client) as channel:
            channel.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
            head = channel.recv(10_000)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 8\r\n" in head
        reply = client.apply(file_of(GREY), "invert")
        assert re.search(r"wait for about [78]\.. s, over the limit of 5 s", detail(reply, 503))
        assert json.loads(reply.body)["limit"] == "waiting_seconds"
        held.go.set()
        for each in asked:
            each.join(20)
            assert each.reply.status == 200
        assert pace.expect([DECODED], 16) < 4.0


def test_a_cache_is_looked_into_however_long_others_wait(held):
    with limited(running=1, waiting_seconds=0.0) as client:
        client.service.cache = Cache(1 << 20)
        held.go.set()
        assert client.apply(file_of(GREY), "invert").status == 200
        held.go.clear()
        client.service.pace.learn([(DECODED, 4.0)] * 3, 16)
        waiting = Asked(client, 0)
        assert wait_until(lambda: len(held.began) == 2)
        detail(client.apply(file_of(COLOURS), "invert"), 503)
        assert client.apply(file_of(GREY), "invert").headers["Gpuimg-Cache"] == "hit"
        held.go.set()
        waiting.join(20)
        assert waiting.reply.status == 200


def test_waiting_pixels_are_bounded(held):
    with limited(running=1, queued=50, queued_bytes=20) as client:
        asked = [Asked(client, 0)]
        assert wait_until(lambda: len(held.began) == 1)
        asked.append(Asked(client, 1))
        assert wait_until(lambda: client.service.pool.waiting == 1)
        detail(client.apply(file_of(GREY), "invert"), 503)
        held.go.set()
        for each in asked:
            each.join(20)
            assert each.reply.status == 200


def test_a_deadline_frees_the_place(held):
    with limited(running=1, seconds=0.3) as client:
        reply = client.apply(file_of(GREY), "invert")
        assert "longer than 0.3 s" in detail(reply, 504)
        assert wait_until(lambda: len(held.stopped) == 1)
        held.go.set()
        assert client.apply(file_of(COLOURS), "invert").body == b"pixels"


def test_a_client_that_goes_away_stops_its_job(held):
    with limited(running=1) as client:
        body = file_of(GREY)
        with connected(client) as channel:
            channel.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert wait_until(lambda: len(held.began) == 1)
        assert wait_until(lambda: len(held.stopped) == 1)
        held.go.set()
        assert client.apply(file_of(COLOURS), "invert").body == b"pixels"
        assert wait_until(lambda: client.service.held_bytes == 0)


def test_identical_requests_run_once(held):
    with limited(running=4) as client:
        asked = [Asked(client, 7) for _ in range(4)]
        assert wait_until(lambda: len(held.began) == 1)
        time.sleep(0.2)
        held.go.set()
        for each in asked:
            each.join(20)
        assert len(held.began) == 1
        assert sorted(each.reply.headers["Gpuimg-Cache"] for each in asked) == ["joined", "joined", "joined", "made"]


def test_one_of_identical_requests_goes_away(held):
    with limited(running=1) as client:
        body = file_of(np.full((4, 4), 7, np.uint8))
        with connected(client) as channel:
            channel.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert wait_until(lambda: len(held.began) == 1)
            other = Asked(client, 7)
            time.sleep(0.2)
        assert wait_until(lambda: len(held.began) == 2)
        held.go.set()
        other.join(20)
        assert other.reply.status == 200


def test_draining(held):
    with serving() as client:
        running_one = Asked(client, 1)
        assert wait_until(lambda: len(held.began) == 1)
        client.service.is_draining = True
        assert "about to end" in detail(client.get("/readyz"), 503)
        assert client.get("/healthz").status == 200
        held.go.set()
        assert client.apply(file_of(GREY), "invert").status == 200  # on a connection that was open
        running_one.join(20)
        assert running_one.reply.status == 200


def test_a_service_that_is_not_warm():
    with serving(is_warm=False) as client:
        assert "compiled" in detail(client.get("/readyz"), 503)
        assert client.apply(file_of(GREY), "invert").status == 200


def test_a_failure_says_no_more_than_it_must(monkeypatch):
    def fail(request):
        raise RuntimeError("a secret")

    monkeypatch.setattr(core, "perform", fail)
    with serving() as client:
        reply = client.apply(file_of(GREY), "invert")
        assert detail(reply, 500) == "the service failed at this request"
        assert b"secret" not in reply.body


# Results that are kept ----------------------------------------------------------------------------------------------


def test_a_result_is_kept():
    with serving(cache=Cache(1_000_000)) as client:
        first = client.apply(file_of(GREY), "gaussian:sigma=2.0")
        again = client.apply(file_of(GREY), "gaussian: sigma = 2")
        assert (first.headers["Gpuimg-Cache"], again.headers["Gpuimg-Cache"]) == ("made", "hit")
        assert first.body == again.body
        assert client.apply(file_of(GREY), "gaussian:sigma=2.1").headers["Gpuimg-Cache"] == "made"
        assert client.apply(file_of(GREY), "gaussian:sigma=2", Accept="image/tiff").headers["Gpuimg-Cache"] == "made"
        asked = first.headers["ETag"]
        kept = client.get(first.headers["Content-Location"])
        assert (kept.body, kept.headers["ETag"], kept.headers["Content-Type"]) == (first.body, asked, "image/png")
        assert "immutable" in kept.headers["Cache-Control"]
        for header in (asked, f"W/{asked}", f'"x", {asked}', "*"):
            unchanged = client.get(first.headers["Content-Location"], If_None_Match=header)
            assert (unchanged.status, unchanged.body) == (304, b"")
        detail(client.apply(file_of(GREY), "gaussian:sigma=2", If_None_Match=asked), 412)
        detail(client.get("/v1/results/" + "0" * 64), 404)


def test_errors_are_not_kept():
    with serving(cache=Cache(1_000_000)) as client:
        for _ in range(2):
            detail(client.apply(file_of(GREY), "rgb2gray"), 422)
        text = client.get("/metrics").body.decode()
        assert 'gpuimg_cache_total{result="hit"}' not in text


def test_it_keeps_to_its_openapi_document(tmp_path):
    with serving(token="s3cret") as client:
        address = f"http://127.0.0.1:{client.port}/openapi.json"
        command = [str(Path(sysconfig.get_path("scripts"), "schemathesis")), "run", address, "--seed", "1"]
        command += ["--max-examples", "40", "--header", "Authorization: Bearer s3cret", "--no-color"]
        # Bytes at random are no image.
        command += ["--exclude-checks", "positive_data_acceptance"]
        here = str(Path(__file__).parents[1])
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.service_hooks", "PYTHONPATH": here}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        text = client.get("/metrics", Authorization="Bearer s3cret").body.decode()
    assert done.returncode == 0, done.stdout
    answers = dict(re.findall(r'gpuimg_requests_total\{code="(\d+)"\} ([\d.]+)', text))
    assert {"200", "400", "404", "405", "422"} <= set(answers)
    assert "500" not in answers


def test_damaged_files_are_answered_or_refused(tmp_path):
    """See `tests/attack/service_files.py`, which sends many more."""
    command = [sys.executable, "-m", "tests.attack.service_files", "150", "3"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    grown = int(re.search(r"memory grew by (\d+) MiB", done.stdout)[1])
    assert grown < 500


def progressive(scans):
    """A JPEG of 1000 x 1000 pixels that holds its image in many scans."""
    whole = file_of(np.zeros((1000, 1000), np.uint8), "JPEG", progressive=True)
    start = whole.index(b"\xff\xda")
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + whole[-2:] if start < last else whole


def test_bombs(client):
    zeros = zlib.compress(bytes(200_000_000), 9)
    deflated = tiff_of(np.zeros((16, 16), np.uint8), compression="zlib")
    bombs = [png_header(20_000, 20_000), png_header(60_000, 1), progressive(200), deflated + zeros]
    for bomb in bombs:
        reply = client.apply(bomb, "invert")
        assert reply.status in (200, 413, 422)
        assert client.get("/healthz").status == 200


# Processors ---------------------------------------------------------------------------------------------------------


def test_workers_with_jobs_share_the_processors(monkeypatch):
    seen = []

    def perform(request):
        seen.append((stopping.watch().processors, mine.jobs))
        return work.perform(request)

    monkeypatch.setattr(core, "perform", perform)
    file = Loads.create(3)
    mine, other, third = (Loads(3, place, file) for place in range(3))
    os.close(file)
    with running(lambda: Service(loads=mine, limits=Limits(processors=6, running=1))) as client:
        for other.jobs, third.jobs in ((0, 0), (1, 0), (2, 5), (0, 0)):
            assert client.apply(file_of(GREY), "invert").status == 200
    assert seen == [(6, 1), (3, 1), (2, 1), (6, 1)]
    assert mine.jobs == 0
