"""A small service that the tests of `gpuimg.service` run: ``served.py OPTIONS``, OPTIONS in JSON.

Run by a supervisor it is a worker; otherwise it supervises ``count`` workers, or is the only process if that is 0.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

from tornado.web import Application, RequestHandler

from gpuimg.errors import ServeError
from gpuimg.service import serving, workers


class Answer(RequestHandler):
    """Answers with the process ID, after it has done what the path says."""

    async def get(self, what):
        seconds = float(self.get_argument("seconds", "0"))
        if what == "slow":
            await asyncio.sleep(seconds)
        elif what == "block":
            time.sleep(seconds)
        elif what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "ready":
            self.set_status(503 if self.settings["draining"] else 200)
        elif what == "missing":
            self.send_error(404)
            return
        self.finish(f"{os.getpid()}")

    async def post(self, what):
        self.finish(f"{len(self.request.body)}")


def say(line):
    os.write(1, f"{line}\n".encode())  # at once: several processes write


def main():
    options = json.loads(sys.argv[1])
    logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
    logging.getLogger("tornado.access").setLevel("CRITICAL")
    parent = workers.inherited()
    host, count = options.get("host", "127.0.0.1"), options.get("count", 0)
    if parent is None and count:
        sockets = serving.listen(host, options.get("port", 0))
        address = serving.url(host, sockets)
        sys.exit(
            workers.supervise(
                options.get("command") or [sys.executable, *options.get("flags", ()), __file__, sys.argv[1]],
                sockets,
                count,
                times=workers.Times(**options.get("times", {})),
                on_ready=lambda: say(f"listening on {address}"),
                on_death=lambda pid, place: say(f"died {pid}"),
            )
        )
    broken = options.get("broken")
    if broken and Path(broken).exists():
        sys.exit(3)
    sockets = parent.sockets if parent else serving.listen(host, options.get("port", 0))
    address = serving.url(host, sockets)
    asyncio.run(
        serving.serve(
            Application([("/(.*)", Answer)]),
            sockets=sockets,
            parent=parent,
            on_ready=lambda: None if parent else say(f"listening on {address}"),
            on_drain=lambda: say("draining"),
            **options.get("serve", {}),
        )
    )


if __name__ == "__main__":
    try:
        main()
    except ServeError as error:
        sys.exit(str(error))
