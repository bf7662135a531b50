"""`gpuimg serve` as an operator sees it: options, signals, and what several workers share."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import gpuimg
from gpuimg.service import command as service_command
from gpuimg.service.metrics import FOLDER
from tests.conftest import wait_until
from tests.service import Client, file_of

GREY = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX systems have them")


def command(*options):
    return [sys.executable, "-X", "dev", "-m", "gpuimg", "serve", "--port", "0", *options]


@contextmanager
def served(tmp_path, *options, also=""):
    """A running service: its process, a client of it, and the file of what it has said."""
    said = tmp_path / "said"
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), str(also))))
    with said.open("w") as out:
        environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": path}
        process = subprocess.Popen(command(*options), stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        assert wait_until(lambda: "listening on" in said.read_text() or process.poll() is not None, 60)
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", said.read_text())
        assert found, said.read_text()
        yield process, Client(int(found[1])), said
    finally:
        process.kill()
        process.wait(20)


def metric(client, name):
    text = client.get("/metrics").body.decode()
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:{{.*}})? ([\d.e+-]+)$", text, re.M))


def workers_of(said):
    return [int(pid) for pid in re.findall(r"worker \d+ \(pid (\d+)\) starts", said.read_text())]


def test_one_process(tmp_path):
    with served(tmp_path, "--workers", "1") as (process, client, said):
        assert wait_until(lambda: client.get("/readyz").status == 200, 200)
        reply = client.apply(file_of(GREY), "median:size=5")
        np.testing.assert_array_equal(reply.pixels, gpuimg.median(GREY, 5))
        process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: "SIGHUP does nothing" in said.read_text(), 20), process.poll()
        assert client.get("/healthz").status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        # In its debug mode asyncio says when the machine is slow.
        lines = [line for line in said.read_text().splitlines() if "WARNING Executing" not in line]
    assert lines[:2] == [f"listening on http://127.0.0.1:{client.port}", "ready"]
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("gpus", "cupy", "backend", "workers"),
    [
        (0, True, "auto", 2),
        (3, True, "auto", 3),
        (3, True, "cuda", 3),
        (3, False, "auto", 2),
        (3, True, "multicore", 2),
    ],
)
def test_how_many_workers_there_are_by_default(gpus, cupy, backend, workers, monkeypatch):
    monkeypatch.setattr(service_command, "gpu_count", lambda: gpus)
    monkeypatch.setattr(service_command, "find_spec", lambda name: cupy or None)
    monkeypatch.setattr(service_command, "processor_count", lambda: 8)
    assert service_command.worker_count(backend) == workers
    monkeypatch.setattr(service_command, "processor_count", lambda: 1)
    assert service_command.worker_count(backend) == (workers if workers == 3 else 1)


DRIVER = """
extern "C" int cuInit(unsigned flags) { return flags; }
extern "C" int cuDeviceGetCount(int *count) { *count = 3; return 0; }
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows the variables of a process")
@pytest.mark.skipif(shutil.which("g++") is None, reason="the driver of this test is built by g++")
@pytest.mark.parametrize(("visible", "expected"), [(None, ["0", "1", "2"]), ("4,GPU-1,7,9", ["4", "GPU-1", "7"])])
def test_each_worker_gets_one_gpu(visible, expected, tmp_path, monkeypatch):
    library = tmp_path / "libcuda.so.1"
    building = ["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", library]
    subprocess.run(building, input=DRIVER, text=True, check=True, timeout=60)
    (tmp_path / "cupy.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with served(tmp_path, "--no-warmup", also=tmp_path) as (_, _, said):
        assert wait_until(lambda: "3 workers are ready" in said.read_text(), 60)
        found = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in workers_of(said)]
    devices = [[each.decode() for each in every if each.startswith(b"CUDA_VISIBLE")] for every in found]
    assert devices == [[f"CUDA_VISIBLE_DEVICES={each}"] for each in expected]


def test_numbers_outlive_workers(tmp_path):
    places = 2 * max(gpuimg.machine.processor_count() // 2, 1)
    with served(tmp_path, "--workers", "2", "--no-warmup") as (process, client, said):
        assert wait_until(lambda: "workers are ready" in said.read_text(), 60)
        for sigma in range(1, 9):
            assert client.apply(file_of(GREY), f"gaussian:sigma={sigma}").status == 200
        assert metric(client, "gpuimg_filters_total") == 8
        assert metric(client, "gpuimg_places") == places
        for count in (3, 4):
            os.kill(workers_of(said)[0 if count == 3 else -1], signal.SIGKILL)
            assert wait_until(lambda count=count: said.read_text().count("is ready") >= count, 60), said.read_text()
        assert metric(client, "gpuimg_filters_total") == 8
        for turn in (1, 2, 3):
            process.send_signal(signal.SIGHUP)
            assert wait_until(lambda turn=turn: len(workers_of(said)) == 4 + 2 * turn, 60)
            assert wait_until(lambda turn=turn: said.read_text().count("is ready") >= 4 + 2 * turn, 60)
            assert wait_until(lambda: metric(client, "gpuimg_places") == places, 60)
        assert client.apply(file_of(GREY), "gaussian:sigma=9").status == 200
        assert metric(client, "gpuimg_filters_total") == 9
        assert wait_until(lambda: metric(client, "gpuimg_requests_in_progress") == 0, 10)  # after the answer is sent
        (folder,) = tmp_path.glob("gpuimg-metrics-*")
        names = [path.name for path in folder.iterdir()]
        assert len({re.search(r"_(\w+)\.db", name)[1].split("_")[-1] for name in names}) <= 4
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert not list(tmp_path.glob("gpuimg-metrics-*"))


def test_workers_compile_once(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(service_command, "_compile", lambda: compiled.append(1))
    for folder, count in ((None, 1), (None, 2), (tmp_path, 3), (tmp_path, 3)):
        if folder is not None:
            monkeypatch.setenv(FOLDER, str(folder))
        service = SimpleNamespace(is_warm=False)
        service_command._warm(service, lambda _: None)
        assert service.is_warm
        assert len(compiled) == count


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "99999"], "99999"),
        (["--host", "no.such.host.invalid"], "is not known"),
        (["--token-file", "missing"], "cannot be read: no such file"),
        (["--token-file", os.devnull], "at least 16"),
        (["--cache", "http://localhost"], "redis"),
        (["--cache", "redis://localhost", "--cache-seconds", "0"], "cache-seconds"),
        (["--cache", "redis://localhost", "--cache-entry", "5X"], "number of bytes"),
        (["--host-name", "localhost:80"], "no port"),
        (["--origin", "images.example.com"], "a scheme and a host"),
        (["--max-body", "5X"], "number of bytes"),
        (["--format", "gif"], "must be one of TIFF, PNG, JPEG, NPY"),
        (["--workers", "0"], "workers"),
        (["--deadline", "0"], "deadline"),
        (["--deadline", "nan"], "finite"),
        (["--drain-seconds", "inf"], "finite"),
    ],
)
def test_wrong_options(options, words):
    done = subprocess.run(command(*options), capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "listening" not in done.stdout


def test_a_token_in_a_file(tmp_path):
    (tmp_path / "token").write_text("0123456789abcdef\n")
    options = ("--token-file", str(tmp_path / "token"), "--no-warmup")
    with served(tmp_path, *options) as (_, client, _):
        assert client.apply(file_of(GREY), "invert").status == 401
        reply = client.apply(file_of(GREY), "invert", Authorization="Bearer 0123456789abcdef")
        np.testing.assert_array_equal(reply.pixels, 255 - GREY)


def test_limits_by_options(tmp_path):
    options = ("--max-body", "2K", "--max-pixels", "1000", "--max-bytes", "1M", "--format", "png", "--no-warmup")
    with served(tmp_path, *options) as (_, client, _):
        limits = client.get("/v1/info").json["limits"]
        wanted = {"body_bytes": 2048, "pixels": 1000, "decoded_bytes": 1 << 20, "formats": ["PNG"]}
        assert {name: limits[name] for name in wanted} == wanted
        assert client.apply(bytes(3000), "invert").status == 413
        assert client.apply(file_of(np.zeros((40, 40), np.uint8)), "invert").status == 413
        assert client.apply(file_of(np.zeros((4, 4), np.uint8), "TIFF"), "invert").status == 415


def test_names_by_options(tmp_path):
    allowed = "https://pages.example.com"
    options = ("--host-name", "Images.example.com", "--origin", allowed, "--no-warmup")
    with served(tmp_path, *options) as (_, client, _):
        assert client.get("/healthz").status == 421
        assert client.get("/healthz", Host="images.example.com").status == 200
        for origin, status in ((allowed, 200), ("https://other.example.com", 403)):
            reply = client.apply(file_of(GREY), "invert", Host="images.example.com", Origin=origin)
            assert reply.status == status


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
def test_what_redis_keeps_by_options(tmp_path):
    redis = pytest.importorskip("redis")
    place = tmp_path / "redis.sock"
    line = ["redis-server", "--port", "0", "--unixsocket", str(place), "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(place.exists, 20)
        options = ("--cache", f"unix://{place}", "--cache-seconds", "90", "--cache-entry", "2K", "--no-warmup")
        with redis.Redis(unix_socket_path=str(place)) as kept, served(tmp_path, *options) as (_, client, _):

            def entry(image):
                """The bytes that are kept of a result, and the milliseconds that they are kept for."""
                name = client.apply(file_of(image), "invert").headers["ETag"].strip('"')
                assert wait_until(lambda: kept.exists(f"gpuimg:{name}"), 20)
                return kept.strlen(f"gpuimg:{name}"), kept.pttl(f"gpuimg:{name}")

            small, milliseconds = entry(GREY)
            assert GREY.nbytes // 2 < small < 2048
            assert 30_000 < milliseconds <= 90_000
            assert entry(np.random.default_rng(1).integers(0, 256, (90, 90), np.uint8))[0] < 100  # that it is too large
    finally:
        server.kill()
        server.wait(20)
