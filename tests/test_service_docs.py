"""docs/service.md: its examples run as they stand there, and its tables say what the service has."""

import asyncio
import doctest
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpuimg
from gpuimg.cli import cli
from gpuimg.service import app, core
from gpuimg.service.core import Service
from gpuimg.service.limits import Limits
from tests.conftest import wait_until
from tests.service import Client, file_of, running

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "service.md"
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
CURL = [block for block in SHELL if "curl" in block]
COLOURS = np.random.default_rng(3).integers(0, 256, (30, 40, 3), np.uint8)
TOKEN = "a-token-for-the-tests"
HERE = "http://127.0.0.1:8080"

pytestmark = [
    pytest.mark.skipif(not TEXT, reason="the documentation is not part of an installed package"),
    pytest.mark.skipif(os.name != "posix", reason="the examples are for a POSIX shell"),
]


# Shell --------------------------------------------------------------------------------------------------------------


@contextmanager
def served(folder, *options):
    """The address of `gpuimg serve`, run in a folder."""
    said = folder / "said"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "gpuimg", "serve", "--port", "0", "--no-warmup", *options]
    with said.open("w") as out:
        process = subprocess.Popen(line, cwd=folder, stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        assert wait_until(lambda: "listening on" in said.read_text() or process.poll() is not None, 60)
        yield re.search(r"listening on (\S+)", said.read_text())[1]
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the examples run."""
    made = tmp_path_factory.mktemp("examples")
    Image.fromarray(COLOURS).save(made / "photo.png")
    (made / "token.txt").write_text(TOKEN)
    return made


@pytest.fixture(scope="module")
def addresses(folder):
    """Of a service that is open, and of one that asks for a token."""
    # One worker each: what it has in memory another one has not.
    one = ("--workers", "1")
    with served(folder, *one) as open_to_all, served(folder, *one, "--token-file", "token.txt") as closed:
        yield open_to_all, closed


def run_curl(block, folder, addresses):
    """Run an example with the services of the test; returns what it prints."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    assert HERE in block
    script = block.replace(HERE, addresses["Authorization" in block]).replace("curl ", "curl --no-progress-meter ")
    shell = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(shell, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def example_of(words):
    [block] = [block for block in CURL if words in block]
    return block


def test_every_curl_line_is_run():
    words = ["-o edges.tif", "-o clean.png", "histogram", "value=high", "content-location", "Authorization"]
    assert sorted(example_of(each) for each in words) == sorted(CURL)


def test_the_first_request(folder, addresses):
    run_curl(example_of("-o edges.tif"), folder, addresses)
    found = gpuimg.open_image(folder / "edges.tif")
    np.testing.assert_array_equal(found, gpuimg.sobel(gpuimg.gaussian(COLOURS, 2)))


def test_formats(folder, addresses):
    run_curl(example_of("-o clean.png"), folder, addresses)
    np.testing.assert_array_equal(Image.open(folder / "clean.png"), gpuimg.median(COLOURS, 5))
    np.testing.assert_array_equal(np.load(folder / "edges.npy"), gpuimg.sobel(COLOURS))


def test_a_result_that_is_no_image(folder, addresses):
    printed = json.loads(run_curl(example_of("histogram"), folder, addresses))
    assert printed == [each.tolist() for each in gpuimg.histogram(gpuimg.rgb2gray(COLOURS), bins=4)]


def test_a_problem(folder, addresses):
    [shown] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert json.loads(run_curl(example_of("value=high"), folder, addresses)) == json.loads(shown)


def test_a_result_by_its_name(folder, addresses):
    run_curl(example_of("content-location"), folder, addresses)
    assert (folder / "again.png").read_bytes() == (folder / "smooth.png").read_bytes()
    np.testing.assert_array_equal(Image.open(folder / "again.png"), gpuimg.gaussian(COLOURS, 3))


def test_a_token(folder, addresses):
    run_curl(example_of("Authorization"), folder, addresses)
    np.testing.assert_array_equal(Image.open(folder / "out.png"), 255 - COLOURS)
    assert Client(int(addresses[1].rpartition(":")[2])).apply(file_of(COLOURS), "invert").status == 401


def test_other_lines_are_known():
    others = {line.split(" ")[0] for block in SHELL if block not in CURL for line in block.splitlines()}
    assert others == {"pip", "gpuimg", "docker", "systemctl", "python3", "/opt/gpuimg/bin/pip", "cp"}
    lines = [shlex.split(line) for block in SHELL for line in block.splitlines()]
    for words in lines:
        if words[:2] == ["gpuimg", "serve"]:
            options_of(words[2:])
        if words[:2] == ["docker", "run"]:
            options_of(words[words.index("gpuimg") + 1 :])


def options_of(words):
    """The options of `gpuimg serve`, read as it reads them."""
    serve = cli.commands["serve"]
    return serve.make_context("serve", list(words)).params


# Tables -------------------------------------------------------------------------------------------------------------


def rows_of(heading):
    """The rows of the first table after a heading, each a list of cells."""
    part = TEXT.partition(f"\n## {heading}\n")[2]
    table = re.search(r"\n\|.*\n\|[-|]+\n((?:\|.*\n)+)", part)[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_every_option_is_in_the_table_with_its_default():
    documented = {name.strip("`"): default for name, default, _ in rows_of("Limits")}
    given = options_of([])
    for option in cli.commands["serve"].params:
        told = re.search(r"Default: (.*?)\.$", option.help)
        default = "off" if option.is_flag else str(given[option.name] or "none").removesuffix(".0")
        assert documented.pop(*option.opts).replace("`", "") == (told[1] if told else default)
    assert documented == {}


def test_limits_that_are_no_options():
    assert (
        f"Fixed limits: {Limits().steps} filters per request, {Limits().reading_seconds:g} s to receive a body" in TEXT
    )
    assert f"{app.SERVER_OPTIONS['max_header_size'] >> 10} KiB of HTTP headers" in TEXT


def test_the_interface_is_there():
    with running(Service) as client:
        for names, _ in rows_of("The interface"):
            for method, path in re.findall(r"`(GET|POST) (/[\w/.]+)", names):
                if path == "/v1/results/KEY":
                    path = client.apply(file_of(COLOURS), "invert").headers["Content-Location"]
                    assert "not kept" in client.get(path).json["detail"]
                else:
                    assert client(method, path).status == (400 if method == "POST" else 200), path


def test_every_metric_is_in_the_table():
    with running(Service) as client:
        text = client.get("/metrics").body.decode()
    known = {name for name in re.findall(r"# TYPE (\w+)", text) if not name.endswith("_created")}
    documented = {name.strip("`") for name, *_ in rows_of("Metrics")}
    assert documented == known


def test_every_status_is_in_the_table():
    package = Path(app.__file__).parent
    source = "".join(path.read_text() for path in package.glob("*.py"))
    raised = {int(code) for code in re.findall(r"Problem\((\d{3})", source)}
    documented = {int(code) for code in re.findall(r"^\| (\d{3}) \|", TEXT, re.MULTILINE)}
    assert raised - documented == {404, 500}  # which need no explanation


# Python -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def names():
    """What the blocks define, each run after the ones before it."""
    for library in ("tornado", "starlette", "fastapi", "httpx2"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    found = {}
    for block in PYTHON:
        exec(compile(block, str(PAGE), "exec"), found)
    return found


def test_from_python(names):
    with running(Service) as client:
        body = names["apply"](f"http://127.0.0.1:{client.port}/v1/apply?f=median", file_of(COLOURS))
    np.testing.assert_array_equal(opened(body), gpuimg.median(COLOURS))


def opened(body):
    return Image.open(BytesIO(body))


def test_within_tornado(names):
    from tornado.httpserver import HTTPServer
    from tornado.testing import bind_unused_port

    async def main():
        outer = names["make_outer_app"]()
        server = HTTPServer(outer)
        listener, port = bind_unused_port()
        server.add_socket(listener)
        client = Client(port)

        def ask():
            reply = client("POST", "/images/v1/apply?f=median", file_of(COLOURS))
            np.testing.assert_array_equal(reply.pixels, gpuimg.median(COLOURS))
            assert reply.headers["Content-Location"].startswith("/images/v1/results/")
            assert client.get("/images/openapi.json").json["servers"] == [{"url": "/images"}]
            assert client.get("/images/").headers["Content-Type"].startswith("text/html")
            assert client.get("/images/nothing").headers["Content-Type"] == "application/problem+json"
            assert client.get("/v1/filters").status == 404

        await asyncio.to_thread(ask)
        server.stop()
        await server.close_all_connections()
        await outer.settings["service"].close()

    asyncio.run(main())


@pytest.mark.parametrize("prefix", ["images", "/images/", "/"])
def test_a_wrong_prefix(prefix):
    async def main():
        service = Service()
        try:
            app.make_app(service, prefix)
        finally:
            await service.close()

    with pytest.raises(ValueError, match="prefix must begin with a slash"):
        asyncio.run(main())


@pytest.mark.parametrize("name", ["app", "api"])
def test_within_starlette_and_fastapi(names, name):
    from starlette.testclient import TestClient

    with TestClient(names[name]) as client:
        answer = client.post("/images?f=gaussian:sigma=2&f=median", content=file_of(COLOURS))
        np.testing.assert_array_equal(opened(answer.content), gpuimg.median(gpuimg.gaussian(COLOURS, 2)))
        assert answer.headers["Content-Type"] == "image/png"
        refused = client.post("/images?f=median:size=0", content=file_of(COLOURS))
        assert (refused.status_code, refused.json()["parameter"]) == (422, "size")
        assert refused.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("module", [app, core])
def test_docstrings(module):
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)
