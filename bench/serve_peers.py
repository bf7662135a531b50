"""The other services that bench/serve.py measures: ``python bench/serve_peers.py NAME --port PORT --workers N``.

``blocking`` is Tornado with a handler that calls gpuimg in the event loop. ``fastapi`` is FastAPI (Starlette if that
is missing) and uvicorn, with OpenCV in `asyncio.to_thread`. Both take ``POST /v1/apply?f=...`` with the filters
gaussian, sobel, threshold and median; they have neither limits nor a cache.
"""

import argparse
import asyncio
import os
import socket
from io import BytesIO
from typing import Any

from serve_targets import end_with_parent

BODY_BYTES = 256 << 20


def blocking(listener: socket.socket) -> None:
    from tornado.httpserver import HTTPServer
    from tornado.web import Application, RequestHandler

    from gpuimg.service.limits import Limits
    from gpuimg.service.work import Body, Request, Room, perform, read_accept, read_chain

    room = Room(1 << 40)
    limits = Limits()

    class Ready(RequestHandler):
        def get(self) -> None:
            self.finish("ready")

    class Apply(RequestHandler):
        def post(self) -> None:
            steps = read_chain(self.get_query_arguments("f"), limits.steps)
            accept = read_accept(self.request.headers.get("Accept", ""))
            answer = perform(Request(Body(self.request.body), steps, accept, "", limits, room)).answer
            self.set_header("Content-Type", answer.content_type)
            self.finish(answer.body)

    async def main() -> None:
        application = Application([("/v1/apply", Apply), ("/.*", Ready)])
        HTTPServer(application, max_buffer_size=BODY_BYTES).add_sockets([listener])
        await asyncio.Event().wait()

    asyncio.run(main())


def fastapi(listener: socket.socket) -> None:
    import uvicorn

    try:
        from fastapi import FastAPI as App
    except ModuleNotFoundError:
        from starlette.applications import Starlette as App
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response

    async def apply(request: Request) -> Response:
        body = await request.body()
        made, media_type = await asyncio.to_thread(filtered, body, request.query_params.getlist("f"))
        return Response(made, media_type=media_type)

    async def ready(request: Request) -> Response:
        return PlainTextResponse("ready")

    app: Any = App()
    app.router.add_route("/v1/apply", apply, methods=["POST"])
    app.router.add_route("/readyz", ready)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def filtered(body: bytes, steps: list[str]) -> tuple[bytes, str]:
    """Filter an image file with OpenCV, with gpuimg's border modes and codec settings; return the file and its type."""
    import cv2
    import numpy as np

    if body.startswith(b"\x93NUMPY"):
        image = np.load(BytesIO(body))
    else:
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    for step in steps:
        name, _, given = step.partition(":")
        params = dict(each.split("=") for each in given.split(",") if each)
        image = FILTERS[name](image, **{key: float(value) for key, value in params.items()})
    if body.startswith(b"\x93NUMPY"):
        written = BytesIO()
        np.save(written, image)
        return written.getvalue(), "application/x-npy"
    if body.startswith(b"\x89PNG"):
        # As gpuimg: left neighbour subtracted, run-length encoding, fastest level.
        suffix, settings = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY]
        settings += [cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]
    elif body.startswith(b"\xff\xd8"):
        suffix, settings = ".jpeg", [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR]
        settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    else:
        suffix, settings = ".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_NONE]
    return cv2.imencode(suffix, image, settings)[1].tobytes(), f"image/{suffix[1:]}"


def gaussian(image: Any, sigma: float) -> Any:
    import cv2

    side = 2 * int(4 * sigma + 0.5) + 1
    return cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT)


def sobel(image: Any) -> Any:
    import cv2

    across, down = (
        cv2.Sobel(image, cv2.CV_32F, *axis, scale=0.25 / 2**0.5, borderType=cv2.BORDER_REFLECT)
        for axis in ((1, 0), (0, 1))
    )
    return cv2.magnitude(across, down)


def threshold(image: Any, value: float) -> Any:
    import cv2
    import numpy as np

    return cv2.threshold(image, value, 255, cv2.THRESH_BINARY)[1].astype(np.uint8)


def median(image: Any, size: float) -> Any:
    import cv2

    return cv2.medianBlur(image, int(size))


FILTERS = {"gaussian": gaussian, "sobel": sobel, "threshold": threshold, "median": median}
PEERS = {"blocking": blocking, "fastapi": fastapi}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", given.port), backlog=1024)
    listener.setblocking(False)
    for _ in range(given.workers - 1):  # they share the socket
        if os.fork() == 0:
            end_with_parent()
            break
    PEERS[given.name](listener)


if __name__ == "__main__":
    main()
