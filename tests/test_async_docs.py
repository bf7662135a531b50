"""The examples of docs/async.md, run as they stand there."""

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest

import gpuimg

PAGE = Path(__file__).parents[1] / "docs" / "async.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL) if PAGE.exists() else []
IMAGE = np.random.default_rng(2).integers(0, 256, (100, 80), np.uint8)

pytestmark = pytest.mark.skipif(not BLOCKS, reason="the documentation is not part of an installed package")


@pytest.fixture(scope="module")
def names():
    """What the blocks define, each run after the ones before it."""
    pytest.importorskip("tornado", reason="tornado is not installed")
    found = {"gpuimg": gpuimg, "np": np, "image": IMAGE}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), found)
    return found


def test_the_blocks_run(names, capsys):
    assert len(BLOCKS) == 12
    np.testing.assert_array_equal(names["result"], gpuimg.gaussian(IMAGE, 2))
    np.testing.assert_array_equal(names["results"][1], gpuimg.sobel(IMAGE))
    np.testing.assert_array_equal(names["edges"].result(30), gpuimg.sobel(gpuimg.gaussian(IMAGE, 2)))


def test_the_generator_coroutine(names):
    from tornado.ioloop import IOLoop

    both = IOLoop.current().run_sync(lambda: names["handle"](IMAGE), timeout=60)
    np.testing.assert_array_equal(both["mask"], gpuimg.threshold(gpuimg.gaussian(IMAGE, 2), 100))


def test_the_native_coroutine(names):
    expected = gpuimg.sobel(gpuimg.gaussian(IMAGE, 2))
    np.testing.assert_array_equal(asyncio.run(names["handle_natively"](IMAGE)), expected)


def test_the_notebook_and_the_views(names):
    np.testing.assert_array_equal(asyncio.run(names["cell"](IMAGE)), gpuimg.median(IMAGE, 9))
    np.testing.assert_array_equal(names["view"](IMAGE), gpuimg.median(IMAGE, 5))


def test_starlette(names):
    pytest.importorskip("httpx2", reason="httpx2 is not installed")
    applications = pytest.importorskip("starlette.applications", reason="starlette is not installed")
    from starlette.routing import Route
    from starlette.testclient import TestClient

    app = applications.Starlette(routes=[Route("/", names["endpoint"], methods=["POST"])])
    with TestClient(app) as client:
        answer = client.post("/", content=IMAGE.tobytes())
    np.testing.assert_array_equal(np.frombuffer(answer.content, np.float32).reshape(IMAGE.shape), gpuimg.sobel(IMAGE))


def test_a_signal_brings_the_result(names):
    class Signal:
        def __init__(self):
            self.emitted = []

        def emit(self, result):
            self.emitted.append(result)

    signal = Signal()
    names["show_later"](IMAGE, signal).result(30)
    gpuimg.submit("invert", IMAGE).result(30)
    for _ in range(1000):
        if signal.emitted:
            break
        asyncio.run(asyncio.sleep(0.005))
    np.testing.assert_array_equal(signal.emitted[0], gpuimg.gaussian(IMAGE, 5))
