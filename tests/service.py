"""A service in a thread of its own, for the tests that talk to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from contextlib import contextmanager
from io import BytesIO
from typing import NamedTuple
from urllib.parse import quote, urlencode

import numpy as np
from PIL import Image


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def pixels(self):
        if self.body.startswith(b"\x93NUMPY"):
            return np.load(BytesIO(self.body))
        return np.asarray(Image.open(BytesIO(self.body)))


class Client:
    def __init__(self, port):
        self.port = port

    def __call__(self, method, path, body=None, timeout=30, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self("GET", path, **headers)

    def apply(self, body, *steps, axes=None, **headers):
        query = urlencode([("f", step) for step in steps] + ([("axes", axes)] if axes else []), quote_via=quote)
        return self("POST", f"/v1/apply?{query}", body, **headers)


@contextmanager
def running(make_service):
    """A client of the service that ``make_service()`` makes in its loop; at the end the service is closed."""
    from tornado.httpserver import HTTPServer

    from gpuimg.service.app import SERVER_OPTIONS, make_app

    started = threading.Event()
    held = {}

    async def main():
        asyncio.get_running_loop().slow_callback_duration = 60  # debug mode's log must not depend on load
        service = make_service()
        server = HTTPServer(make_app(service), **SERVER_OPTIONS)
        server.listen(0, "127.0.0.1")
        held["port"] = next(iter(server._sockets.values())).getsockname()[1]
        held["service"], held["loop"], held["end"] = service, asyncio.get_running_loop(), asyncio.Event()
        started.set()
        await held["end"].wait()
        server.stop()
        await server.close_all_connections()
        await service.close()

    thread = threading.Thread(target=lambda: asyncio.run(main(), debug=True))
    thread.start()
    try:
        assert started.wait(30)
        client = Client(held["port"])
        client.service, client.loop = held["service"], held["loop"]
        yield client
    finally:
        held["loop"].call_soon_threadsafe(held["end"].set)
        thread.join(30)
        assert not thread.is_alive()


def file_of(array, form="PNG", **settings):
    """An image file's bytes."""
    written = BytesIO()
    if form == "NPY":
        np.save(written, array)
    else:
        Image.fromarray(array).save(written, form, **settings)
    return written.getvalue()
