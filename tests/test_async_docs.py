"""The examples of docs/async.md, run as they stand there."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

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


def test_flask(names):
    flask = pytest.importorskip("flask", reason="flask is not installed")
    app = flask.Flask(__name__)

    @app.post("/")
    def smooth():
        image = np.frombuffer(flask.request.get_data(), np.uint8).reshape(100, -1)
        return names["view"](image).tobytes()

    with run_server(app) as address, ThreadPoolExecutor(4) as clients:
        images = [np.roll(IMAGE, shift) for shift in range(8)]
        answers = clients.map(lambda image: urlopen(address, image.tobytes(), timeout=60).read(), images)
        for image, answer in zip(images, answers, strict=True):
            np.testing.assert_array_equal(np.frombuffer(answer, np.uint8).reshape(100, -1), gpuimg.median(image, 5))


@contextmanager
def run_server(app):
    """Serve an application at an address of this machine, with a thread for each request."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


WINDOWS = """
import threading
import numpy as np, gpuimg
from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal, Slot

{snippet}

class Viewer(QObject):
    ready = Signal(object)

    def __init__(self):
        super().__init__()
        self.ready.connect(self.show)

    @Slot(object)
    def show(self, result):
        print(threading.current_thread() is threading.main_thread())
        print(np.array_equal(result, gpuimg.gaussian(image, sigma=5)))
        app.quit()

image = np.random.default_rng(0).integers(0, 256, (500, 400), np.uint8)
app = QCoreApplication([])
viewer = Viewer()
jobs = []

def move_the_slider():
    for _ in range(3):
        for job in jobs:
            job.cancel()
        jobs.append(show_later(image, viewer.ready))

QTimer.singleShot(0, move_the_slider)
QTimer.singleShot(60_000, lambda: app.exit(1))
raise SystemExit(app.exec())
"""


def test_qt():
    pytest.importorskip("PySide6", reason="PySide6 is not installed")
    [snippet] = [block for block in BLOCKS if "def show_later" in block]
    command = [sys.executable, "-X", "dev", "-c", WINDOWS.format(snippet=snippet)]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {"True"}


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
