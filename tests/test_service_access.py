"""Which names the service answers to, and whose web pages may send it work."""

import numpy as np
import pytest

from gpuimg.service.access import Access, access
from gpuimg.service.core import Service
from tests.service import file_of, running

GREY = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
LOOPBACK = access("127.0.0.1", [], [])


@pytest.fixture(scope="module")
def client():
    with running(lambda: Service(access=LOOPBACK, token="0123456789abcdef")) as found:
        yield found


TOKEN = {"Authorization": "Bearer 0123456789abcdef"}
PATHS = ("/", "/healthz", "/readyz", "/metrics", "/v1/filters", "/v1/info", "/openapi.json", f"/v1/results/{'0' * 64}")


@pytest.mark.parametrize(
    "host", ["rebound.example", "rebound.example:8080", "127.0.0.1.rebound.example", "10.0.0.1", ""]
)
def test_other_names_are_refused(client, host):
    for path in PATHS:
        reply = client.get(path, Host=host, **TOKEN)
        assert reply.status == 421, path
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert reply.json["parameter"] == "Host"
    assert client.apply(file_of(GREY), "invert", Host=host, **TOKEN).status == 421


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "localhost.:80"])
def test_names_of_loopback(client, host):
    assert client.get("/healthz", Host=host).status == 200
    np.testing.assert_array_equal(client.apply(file_of(GREY), "invert", Host=host, **TOKEN).pixels, 255 - GREY)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8080", 200),
        ("https://localhost:8080", 200),
        ("http://localhost:9090", 403),
        ("http://localhost", 403),
        ("https://other.example", 403),
        ("http://localhost:8080.other.example", 403),
        ("null", 403),
        ("", 403),
        ("file://localhost:8080", 403),
    ],
)
def test_pages_of_other_origins(client, origin, status):
    reply = client.apply(file_of(GREY), "invert", Host="localhost:8080", Origin=origin, **TOKEN)
    assert reply.status == status
    if status == 403:
        assert reply.json["parameter"] == "Origin"
    assert client.get("/healthz", Host="localhost:8080", Origin=origin).status == 200


def test_ports_that_a_scheme_implies():
    assert Access().takes("https://images.example", "images.example:443")
    assert Access().takes("https://images.example", "images.example")
    assert not Access().takes("https://images.example", "images.example:80")
    assert Access(origins=("null",)).takes("null", "images.example")


@pytest.mark.parametrize(
    ("bound", "names", "hosts"),
    [
        ("127.0.0.1", [], ("localhost", "127.0.0.1", "[::1]")),
        ("127.0.0.9", [], ("localhost", "127.0.0.1", "[::1]", "127.0.0.9")),
        ("::1", [], ("localhost", "127.0.0.1", "[::1]")),
        ("localhost", [], ("localhost", "127.0.0.1", "[::1]")),
        ("", [], ()),
        ("0.0.0.0", [], ()),
        ("images.example", [], ()),
        ("127.0.0.1", ["Images.Example"], ("images.example",)),
        ("0.0.0.0", ["a.example", "b.example"], ("a.example", "b.example")),
    ],
)
def test_default_names(bound, names, hosts):
    assert access(bound, names, []).hosts == hosts


@pytest.mark.parametrize("name", ["", "localhost:80", "http://localhost", "a.example,b.example", "a b"])
def test_wrong_names(name):
    with pytest.raises(ValueError, match="host name must have no port"):
        access("127.0.0.1", [name], [])


@pytest.mark.parametrize("origin", ["", "images.example", "http://images.example/", "ftp://images.example", "http://"])
def test_wrong_origins(origin):
    with pytest.raises(ValueError, match="origin must be a scheme and a host"):
        access("127.0.0.1", [], [origin])
