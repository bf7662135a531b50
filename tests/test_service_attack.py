"""The service against hostile clients: what they send costs little, and what they hold comes free again."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
import struct
import threading
import time
import warnings
import zlib
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO

import numpy as np
import pytest
import tifffile

from gpuimg import stopping
from gpuimg.jobs.texts import plain
from gpuimg.service import app, bodies, command, core, work
from gpuimg.service.core import Service
from gpuimg.service.limits import Limits
from gpuimg.service.problems import Problem
from gpuimg.service.serving import Server, listen
from tests.conftest import wait_until
from tests.service import file_of, running

GREY = np.random.default_rng(0).integers(0, 256, (37, 53), np.uint8)


@pytest.fixture(scope="module")
def client():
    with running(Service) as found:
        yield found


@contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as channel:
        yield channel


def all_of(channel):
    """What comes until the server closes the connection."""
    return b"".join(iter(lambda: channel.recv(1 << 16), b""))


def is_at_rest(client):
    text = client.get("/metrics").body.decode()
    gauges = [line for line in text.splitlines() if line.startswith(("gpuimg_requests_in", "gpuimg_requests_running"))]
    return client.service.held_bytes == 0 and len(gauges) == 2 and all(line.endswith(" 0.0") for line in gauges)


# Requests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["POST /healthz", "POST /nowhere", "PUT /v1/apply"])
def test_a_large_body_is_taken_as_an_image_only(client, target):
    with connected(client.port) as channel:
        channel.sendall(f"{target} HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n".encode())
        assert all_of(channel).startswith(b"HTTP/1.1 4")
    assert wait_until(lambda: is_at_rest(client))


@pytest.mark.parametrize("length", [b"\xb2", b"1" * 5000, b"+2", b"-1", b"", b"5, 6", b"1e3"])
def test_a_length_that_is_no_number(client, length, caplog):
    with connected(client.port) as channel:
        channel.sendall(b"POST /v1/apply HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\nab")
        assert b"HTTP/1.1 400" in all_of(channel)
    assert wait_until(lambda: is_at_rest(client))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_two_ways_to_say_the_length(client):
    with connected(client.port) as channel:
        both = (
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        channel.sendall(b"POST /v1/apply HTTP/1.1\r\nHost: a\r\n" + both)
        assert all_of(channel).count(b"HTTP/1.1") == 1


def test_a_query_that_is_no_text(client):
    reply = client("POST", "/v1/apply?f=%ff%fe", bytes(1_000_000))
    assert reply.status == 400
    assert reply.json["status"] == 400
    assert wait_until(lambda: is_at_rest(client))


@pytest.mark.parametrize("target", ["/v1/apply", "/v1/apply?unknown=1", "/v1/filters?unknown=1"])
def test_refusals_are_not_logged(client, target, caplog):
    for method in ("GET", "PUT", "DELETE", "POST"):
        assert client(method, target).status >= 400
    assert not caplog.records


def test_a_refused_client_that_sends_all_first():
    with running(lambda: Service(token="0123456789abcdef", limits=Limits(body_bytes=1000))) as client:
        for length in (2000, 100_000_000):
            with connected(client.port) as channel:
                channel.sendall(f"POST /v1/apply HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode())
                channel.sendall(bytes(length))
                assert all_of(channel).startswith(b"HTTP/1.1 401")


# Answers that nobody reads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True], ids=["apply", "results"])
def test_an_answer_that_is_not_read(monkeypatch, again):
    body = file_of(np.zeros((3000, 3000), np.float32), "NPY")
    with running(lambda: Service(cache=core.Cache(1 << 28))) as client:
        found = client.apply(body).headers["Content-Location"]
        monkeypatch.setattr(app, "SENDING_SECONDS", 1.0)
        monkeypatch.setattr(app, "SENDING_RATE", 1e12)
        assert wait_until(lambda: client.service.held_bytes == 0)
        with connected(client.port) as channel:
            if again:
                channel.sendall(f"GET {found} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            else:
                head = f"POST /v1/apply HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
                channel.sendall(head.encode() + body)
            assert wait_until(lambda: client.service.held_bytes == len(body))
            assert wait_until(lambda: client.service.held_bytes == 0)
            assert len(all_of(channel)) < len(body)


def test_answers_count_among_the_memory():
    body = file_of(np.zeros((3000, 3000), np.float32), "NPY")
    limits = Limits(body_bytes=10_000, received_bytes=20_000)
    small = file_of(np.zeros((10, 10), np.float32), "NPY")
    with running(lambda: Service(limits=limits)) as client, connected(client.port) as channel:
        head = "POST /v1/apply?f=resize:output_shape=(3000,3000) HTTP/1.1\r\nHost: a\r\n"
        channel.sendall(f"{head}Content-Length: {len(small)}\r\n\r\n".encode() + small)
        assert wait_until(lambda: client.service.held_bytes == len(body))
        reply = client.apply(small, "invert")
        assert reply.status == 503
        assert "answers" in reply.json["detail"]
        channel.close()
        assert wait_until(lambda: client.service.held_bytes == 0)
        assert client.apply(small, "invert").status == 200


# Connections --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def served(**options):
    """The port of a server whose connections are bounded."""
    service = Service()
    server = Server(app.make_app(service), **app.SERVER_OPTIONS, **options)
    sockets = listen("127.0.0.1", 0)
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        await server.drain(1.0, 0.0)
        await service.close()


async def healthy(reader, writer):
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    return (await asyncio.wait_for(reader.readuntil(b"}"), 20)).startswith(b"HTTP/1.1 200")


def test_idle_connections_make_room():
    async def main():
        async with served(connections=3) as port:
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            assert await healthy(*idle[0])
            late = await asyncio.open_connection("127.0.0.1", port)
            assert await healthy(*late)
            assert await idle[0][0].read() == b""
            for _, writer in [*idle, late]:
                writer.close()

    asyncio.run(main())


def test_busy_connections_are_not_closed():
    body = file_of(GREY)
    head = f"POST /v1/apply HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def main():
        async with served(connections=2) as port:
            busy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for _, writer in busy:
                writer.write(head + body[:10])
            await asyncio.sleep(0.1)
            late = await asyncio.open_connection("127.0.0.1", port)
            asked = asyncio.create_task(healthy(*late))
            await asyncio.sleep(0.1)
            assert not asked.done()
            for reader, writer in busy:
                writer.write(body[10:])
                assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
                writer.close()
            assert await asked
            late[1].close()

    asyncio.run(main())


def test_no_files_are_left(monkeypatch, caplog):
    take, failures = Server._take, iter(range(3))

    def failing(self, listener):
        if next(failures, None) is not None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        take(self, listener)

    monkeypatch.setattr(Server, "_take", failing)
    monkeypatch.setattr("gpuimg.service.serving.PAUSE_SECONDS", 0.01)

    async def main():
        async with served() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await healthy(reader, writer)
            writer.close()

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "no connection is accepted for 0.01 s: too many open files"
    ] * 3


# Files --------------------------------------------------------------------------------------------------------------


def png_chunk(name, data=b""):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff_directories(count, tag):
    """A TIFF file of one pixel a page, with tags of its own besides the needed ones."""
    needed = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    needed += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1)]
    file = bytearray(b"II*\0\x08\0\0\0")
    for number in range(count):
        entries = b"".join([struct.pack("<HHII", *each) for each in [*needed, *tag]])
        after = len(file) + 6 + len(entries)
        file += struct.pack("<H", len(entries) // 12) + entries
        file += struct.pack("<I", after if number < count - 1 else 0)
    return bytes(file)


def many_parts(kind):
    png, jpeg = file_of(GREY), file_of(GREY, "JPEG")
    match kind:
        case "PNG":
            return png[:33] + 60_000 * png_chunk(b"prVt") + png[33:]
        case "JPEG":
            return jpeg[:2] + 60_000 * b"\xff\xe5\0\2" + jpeg[2:]
        case "JPEG filler":
            return jpeg[:20] + bytes(200_000) + jpeg[20:]
        case "TIFF tags":
            return tiff_directories(5, [(40_000, 3, 1, 1)] * 65_500)
    return tiff_directories(1, [(40_000, 3, 4_000_000, 8)]) + bytes(8_000_000)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "JPEG filler", "TIFF tags", "TIFF numbers"])
def test_a_header_of_very_many_parts(client, kind):
    reply = client.apply(many_parts(kind), "invert")
    assert reply.status == 422
    assert any(words in reply.json["detail"] for words in ("many parts", "has more than", "takes longer"))


def test_a_jpeg_of_very_many_scans(client):
    whole = file_of(np.zeros((64, 64), np.uint8), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    assert client.apply(whole, "invert").status == 200
    reply = client.apply(whole[:last] + whole[last:-2] * 101 + whole[-2:], "invert")
    assert reply.status == 422
    assert "has more than 100 scans" in reply.json["detail"]


@pytest.mark.parametrize("stage", ["__init__", "decode"])
def test_a_deadline_while_a_decoder_looks_at_nothing(monkeypatch, stage):
    go, begun = threading.Event(), threading.Event()
    real = getattr(work.ImageFile, stage)

    def slow(*given, **named):
        begun.set()
        assert go.wait(30)
        return real(*given, **named)

    with running(lambda: Service(limits=Limits(seconds=0.3, running=1))) as client:
        try:
            with monkeypatch.context() as patched:
                patched.setattr(work.ImageFile, stage, slow)
                reply = client.apply(file_of(GREY), "invert")
            assert begun.is_set()
            assert reply.status == 504
            assert client.get("/healthz").status == 200
        finally:
            go.set()
        assert wait_until(lambda: is_at_rest(client))
        assert wait_until(lambda: client.apply(file_of(GREY), "invert").status == 200)


def test_decoders_and_encoders_stop():
    watch = stopping.Watch()
    body, answer = bodies.Body(b"a file"), bodies.Encoded()
    with stopping.watched(watch):
        assert body.read(1) == b"a"
        watch.stop()
        with pytest.raises(stopping.Stopped):
            body.read(1)
        with pytest.raises(stopping.Stopped):
            body.readinto(bytearray(1))
        with pytest.raises(stopping.Stopped):
            answer.write(b"more")


def test_works_together_take_only_so_much_memory():
    room = work.Room(100)
    first, second = threading.Event(), threading.Event()

    def other():
        with room.entered(60):
            first.set()
            assert second.wait(30)

    thread = threading.Thread(target=other)
    watch = stopping.Watch()
    with room.entered(1000) as hold:  # alone
        thread.start()
        assert not first.wait(0.05)
        hold(40)
        assert first.wait(30)
        with pytest.raises(Problem) as refused:
            hold(41)
        assert refused.value.status == 503
    watch.stop()
    with stopping.watched(watch), pytest.raises(stopping.Stopped), room.entered(41):
        pass
    second.set()
    thread.join()
    with room.entered(1000):
        pass


def test_a_large_result_is_not_begun_beside_others():
    small = file_of(np.zeros((10, 10), np.float32), "NPY")
    with running(lambda: Service(limits=Limits(working_bytes=100_000))) as client:
        assert client.apply(small, "resize:output_shape=(1000,1000)").status == 200
        with client.service.room.entered(1000):
            assert client.apply(small, "resize:output_shape=(100,100)").status == 200
            assert client.apply(small, "resize:output_shape=(1000,1000)").status == 503


# Results ------------------------------------------------------------------------------------------------------------


def test_numbers_that_json_lacks(client):
    image = np.full((20, 20), np.inf, np.float32)
    image[0] = np.nan
    for step in ("threshold_otsu", "threshold_mean", "histogram", "histogram:bins=4,range=(0,1)"):
        reply = client.apply(file_of(image, "NPY"), step)
        assert reply.status in (200, 422)
        json.loads(reply.body, parse_constant=pytest.fail)
    assert plain((np.float32(np.inf), np.array([1.0, np.nan]), float("-inf"))) == [None, [1.0, None], None]


# Logs ---------------------------------------------------------------------------------------------------------------


def test_files_do_not_fill_the_logs():
    """Pillow warns of damaged notes of cameras in words that differ from file to file."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0" + struct.pack("<HHII", 0x10F, 2, 90, 900)
    whole = file_of(GREY, "JPEG")
    file = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + whole[2:]
    level = logging.getLogger("tifffile").level
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        command._quiet()
        request = work.Request(bodies.Body(file), None, [None], "", Limits(), work.Room(1))
        assert work.perform(request).answer.content_type == "image/jpeg"
    logging.getLogger("tifffile").setLevel(level)
    assert said == []


def test_a_header_that_takes_too_long(client):
    page = GREY[:1, :1]
    file = BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for _ in range(3000):
            writer.write(page, contiguous=False, metadata=None)
    with running(lambda: Service(limits=Limits(header_seconds=0.05))) as found:
        began = time.process_time()
        reply = found.apply(file.getvalue(), "invert")
        assert time.process_time() - began < 0.6
        assert reply.status == 422
        assert reply.json["limit"] == "header_seconds"
        assert found.apply(file_of(GREY), "invert").status == 200
    assert client.apply(file.getvalue(), "invert").status == 200
