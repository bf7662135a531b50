"""What docs/ has for running the service: nginx.conf, gpuimg.service, Dockerfile, grafana.json."""

import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from gpuimg.cli import cli
from gpuimg.service.core import Service
from gpuimg.service.limits import Limits
from tests.conftest import wait_until
from tests.service import Client, file_of, running

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GREY = np.random.default_rng(4).integers(0, 256, (20, 30), np.uint8)

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="the documentation is not part of an installed package")


# nginx --------------------------------------------------------------------------------------------------------------

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/gpuimg.conf;
}}
"""


@contextmanager
def before(folder, *ports):
    """A client of nginx with docs/nginx.conf before two services."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    text = (DOCS / "nginx.conf").read_text()
    port = free_port()
    for found, own in [
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("10.0.0.1:8080", f"127.0.0.1:{ports[0]}"),
        ("10.0.0.2:8080", f"127.0.0.1:{ports[1]}"),
    ]:
        assert text.count(found) == 1
        text = text.replace(found, own)
    (folder / "gpuimg.conf").write_text(text)
    user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""  # whose worker would be another user
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user=user))
    line = [nginx, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*line, "-t"], capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
    process = subprocess.Popen(line)
    try:
        assert wait_until(lambda: is_open(port), 30)
        yield Client(port)
    finally:
        process.terminate()
        process.wait(30)


def free_port():
    """A port where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def is_open(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def careless():
    """The port of a server that reads a request and goes away without an answer; and how many it has read."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def go_away():
            while True:
                try:
                    channel, _ = listener.accept()
                except OSError:
                    return
                with channel:
                    seen.append(channel.recv(1 << 16))

        thread = threading.Thread(target=go_away)
        thread.start()
        try:
            yield listener.getsockname()[1], seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def ask(client, sigma):
    reply = client.apply(file_of(GREY), f"gaussian:sigma={sigma}")
    assert reply.status == 200, reply.body
    return reply


def answered(*clients, code="200"):
    """How many answers services have sent; counted a little after they have arrived."""
    return [client.service.metrics.answers.labels(code)._value.get() for client in clients]


def test_two_machines_take_turns_and_keep_connections(tmp_path, monkeypatch):
    from tornado.httpserver import HTTPServer

    accepted = []
    handle = HTTPServer.handle_stream
    monkeypatch.setattr(HTTPServer, "handle_stream", lambda *args: accepted.append(args[1]) or handle(*args))
    with running(Service) as one, running(Service) as other, before(tmp_path, one.port, other.port) as client:
        for sigma in range(1, 11):
            ask(client, sigma)
        assert wait_until(lambda: answered(one, other) == [5, 5])
        assert len(accepted) == 2


def test_a_machine_that_is_down(tmp_path):
    with running(Service) as one, before(tmp_path, one.port, free_port()) as client:
        for sigma in range(1, 9):
            ask(client, sigma)
        assert wait_until(lambda: answered(one) == [8])


def test_a_machine_that_goes_away_in_the_midst(tmp_path):
    with running(Service) as one, careless() as (port, seen), before(tmp_path, one.port, port) as client:
        for sigma in range(1, 9):
            ask(client, sigma)
        assert len(seen) >= 1
        assert wait_until(lambda: answered(one) == [8])


def test_no_machine_at_all(tmp_path):
    with before(tmp_path, free_port(), free_port()) as client:
        reply = client.apply(file_of(GREY), "invert")
        assert (reply.status, reply.json["status"], reply.headers["Retry-After"]) == (503, 503, "5")
        assert reply.headers["Content-Type"] == "application/problem+json"


def test_a_body_over_the_limit_is_refused(tmp_path):
    with running(Service) as one, running(Service) as other, before(tmp_path, one.port, other.port) as client:
        with socket.create_connection(("127.0.0.1", client.port), timeout=20) as channel:
            head = (
                f"POST /v1/apply?f=invert HTTP/1.1\r\nHost: here\r\nContent-Length: {Limits().body_bytes + 1}\r\n\r\n"
            )
            channel.sendall(head.encode())
            answer = channel.recv(1 << 16).decode()
        assert answer.startswith("HTTP/1.1 413 ")
        assert "application/problem+json" in answer
        assert answered(one, other, code="413") == [0, 0]


def test_what_the_services_answer_is_passed_on(tmp_path):
    with ExitStack() as stack:
        both = [stack.enter_context(running(Service)) for _ in range(2)]
        client = stack.enter_context(before(tmp_path, *[each.port for each in both]))
        for each in both:
            each.service.is_draining = True
        reply = client.get("/readyz")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
        assert "about to end" in reply.json["detail"]
        assert wait_until(lambda: sum(answered(*both, code="503")) == 1)
        assert client.apply(file_of(GREY), "median:size=0").json["parameter"] == "size"
        assert client.get("/metrics").status == 404


# systemd ------------------------------------------------------------------------------------------------------------


def unit():
    """The settings of the unit."""
    lines = (DOCS / "gpuimg.service").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_unit_starts_what_there_is():
    program, command, *options = unit()["ExecStart"].split()
    assert (Path(program).name, command) == ("gpuimg", "serve")
    given = cli.commands["serve"].make_context("serve", options).params
    assert given["workers"] >= 2  # or reloading would end it
    assert int(unit()["TimeoutStopSec"]) > given["drain_seconds"] + 5


@pytest.mark.parametrize("check", ["verify", "security --offline=yes --threshold=20"])
def test_systemd_takes_the_unit(tmp_path, check):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DOCS / "gpuimg.service").read_text().replace("/opt/gpuimg/bin/gpuimg", sys.executable)
    (tmp_path / "gpuimg.service").write_text(text)
    line = ["systemd-analyze", "--no-pager", *check.split(), str(tmp_path / "gpuimg.service")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-2000:]


# Docker -------------------------------------------------------------------------------------------------------------


def instructions():
    """The Dockerfile's instructions and their arguments."""
    text = (DOCS / "Dockerfile").read_text().replace("\\\n", "")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line and not line.startswith("#")]


def test_hadolint_has_nothing_to_say():
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts")) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    line = [hadolint, "--no-color", str(DOCS / "Dockerfile")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_makes_a_wheel(tmp_path):
    for name, words in instructions():
        if name == "COPY" and not words.startswith("--from"):
            *sources, target = words.split()
            for source in sources:
                found, copied = ROOT / source, tmp_path / target
                if found.is_dir():
                    shutil.copytree(found, copied, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(found, copied)
    line = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "wheels", "."]
    subprocess.run(line, cwd=tmp_path, timeout=200, check=True)
    assert len(list((tmp_path / "wheels").glob("gpuimg-*.whl"))) == 1


def test_the_container_runs_the_service_as_an_ordinary_user():
    found = dict(instructions())
    program, command, *options = json.loads(found["ENTRYPOINT"])
    assert (program, command) == ("gpuimg", "serve")
    given = cli.commands["serve"].make_context("serve", options).params
    assert str(given["port"]) == found["EXPOSE"]
    assert given["host"] == "0.0.0.0"
    assert int(found["USER"]) > 0


def test_the_health_check():
    [check] = [words for name, words in instructions() if name == "HEALTHCHECK"]
    program, *words = json.loads(check.partition("CMD ")[2])
    assert program == "python"
    with running(Service) as client:
        healthy = [sys.executable, *[word.replace(":8080", f":{client.port}") for word in words]]
        assert subprocess.run(healthy, timeout=60, check=False).returncode == 0
    ill = subprocess.run(healthy, timeout=60, check=False, capture_output=True, text=True)
    assert ill.returncode == 1
    assert URLError.__name__ in ill.stderr


# Grafana ------------------------------------------------------------------------------------------------------------

FUNCTIONS = {"sum", "rate", "histogram_quantile", "topk", "scalar"}
CLOSED_BY = {"(": ")", "{": "}", "[": "]"}


@pytest.fixture(scope="module")
def samples():
    """The metrics' names, as queries have them, and the labels of each."""
    with running(Service) as client:
        for steps in (["gaussian:sigma=2"], ["median:size=0"]):
            client.apply(file_of(GREY), *steps)
        text = client.get("/metrics").body.decode()
    found = {}
    for name, _, labels in re.findall(r"^(\w+)(\{(.*)\})? ", text, re.MULTILINE):
        found.setdefault(name, {"instance"}).update(re.findall(r'(\w+)="', labels))
    return {name: labels for name, labels in found.items() if not name.endswith("_created")}


def queries():
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def parsed(query):
    """A query without its strings: the metrics, the labels and the functions in it; its brackets are in pairs."""
    words = re.sub(r'"(\\.|[^"\\])*"', '""', query)
    opened = []
    for sign in words:
        if sign in CLOSED_BY:
            opened.append(CLOSED_BY[sign])
        elif sign in CLOSED_BY.values():
            assert opened, query
            assert opened.pop() == sign, query
    assert not opened, query
    grouped = re.findall(r"\bby \(([\w, ]+)\)", words)
    labels = {label for group in grouped for label in group.split(", ")}
    labels |= set(re.findall(r'(\w+)(?:=|!=|=~|!~)""', words))
    functions = set(re.findall(r"(\w+)(?: by \([\w, ]+\) )?\(", words))
    return set(re.findall(r"\bgpuimg_\w+", words)), labels, functions


def test_every_query_asks_for_what_there_is(samples):
    for query in queries():
        metrics, labels, functions = parsed(query)
        assert metrics
        assert metrics <= set(samples), query
        assert functions <= FUNCTIONS, query
        assert labels - {"le"} <= set.union(*(samples[name] for name in metrics)), query
        assert re.search(r"\brate\((?!gpuimg_\w+\{[^}]*\}\[\$__rate_interval\])", query) is None, query


def test_every_metric_is_shown(samples):
    shown = set().union(*(parsed(query)[0] for query in queries()))
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in samples}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in shown} == families


def test_panels_do_not_overlap():
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
