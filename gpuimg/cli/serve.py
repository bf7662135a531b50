"""``gpuimg serve``: the HTTP service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from gpuimg.cli.options import Bytes, Seconds, backend_option, default_backend
from gpuimg.typing import Backend


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; '' is every one.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 256),
    help="Processes on the port. Default: one a GPU; without one, two.",
)
@backend_option
@click.option(
    *("--host-name", "host_names"),
    metavar="NAME",
    multiple=True,
    help="That clients call the service by. Default: those of loopback there, elsewhere any.",
)
@click.option(
    *("--origin", "origins"),
    metavar="ORIGIN",
    multiple=True,
    help="Of web pages that may send requests. Default: the service's own.",
)
@click.option("--token-file", metavar="FILE", default="", help="Ask clients for the bearer token in this file.")
@click.option(
    *("--cache", "cache_url"), metavar="URL", default="", help="A Redis for results, such as redis://localhost:6379/0."
)
@click.option(
    *("--cache-memory", "cache_bytes"),
    metavar="BYTES",
    type=Bytes(),
    help="For results, per worker. Default: 256M.",
)
@click.option(
    "--cache-seconds", metavar="SECONDS", type=Seconds(0.001), help="That Redis keeps a result. Default: 3600."
)
@click.option("--cache-entry", metavar="BYTES", type=Bytes(), help="Of the largest result in Redis. Default: 4M.")
@click.option(*("--max-body", "body_bytes"), metavar="BYTES", type=Bytes(), help="Of a request. Default: 256M.")
@click.option(
    *("--max-pixels", "pixels"),
    metavar="N",
    type=click.IntRange(min=1),
    help="Of an image or page. Default: 10**8.",
)
@click.option(
    *("--max-bytes", "decoded_bytes"),
    metavar="BYTES",
    type=Bytes(),
    help="Of an image once decoded, and of each result. Default: a sixteenth of the machine's memory.",
)
@click.option("--format", "formats", metavar="NAME", multiple=True, help="A file format to allow. Default: all.")
@click.option(
    "--running", metavar="N", type=click.IntRange(min=1), help="Requests at a time. Default: one a processor."
)
@click.option("--reading", type=click.IntRange(1), metavar="N", help="Bodies read at a time. Default: 64.")
@click.option("--queued", metavar="N", type=click.IntRange(min=0), help="Requests that may wait. Default: 64.")
@click.option(
    "--queued-bytes",
    metavar="BYTES",
    type=Bytes(),
    help="Of those that wait, decoded. Default: an eighth of memory.",
)
@click.option(
    "--waiting-seconds",
    metavar="SECONDS",
    type=Seconds(0),
    help="That a request may be expected to wait. Default: 2.",
)
@click.option(*("--deadline", "seconds"), metavar="SECONDS", type=Seconds(0.01), help="Of a request. Default: 60.")
@click.option("--drain-seconds", metavar="SECONDS", type=Seconds(0), default=30.0, help="For the end. Default: 30.")
@click.option("--no-warmup", is_flag=True, help="Be ready before filters are compiled.")
def serve(workers: int | None, backend: Backend | None, no_warmup: bool, formats: Sequence[str], **given: Any) -> None:
    """Answer HTTP requests: an image and a chain of filters in, the result out; a page for it at "/".

    With two workers or more a supervisor replaces those that die or hang; SIGHUP restarts them one after the other.
    SIGTERM ends the service when the requests that were admitted are answered. Needs `pip install 'gpuimg[serve]'`.

    \b
    gpuimg serve --port 8080
    curl --data-binary @photo.png 'http://127.0.0.1:8080/v1/apply?f=gaussian:sigma=2&f=sobel' > edges.tif
    """
    try:
        from gpuimg.service.command import Settings, run, worker_command, worker_count
        from gpuimg.service.limits import SERVED, Limits
    except ModuleNotFoundError as error:
        raise click.ClickException(f"the service needs {error.name}: pip install 'gpuimg[serve]'") from error
    known = [form.name for form in SERVED]
    wanted = [name.upper() for name in formats]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise click.BadParameter(f"must be one of {', '.join(known)}, got {unknown[0]!r}", param_hint="--format")
    bounds = {name: value for name, value in given.items() if value is not None and name in Limits.__dataclass_fields__}
    if wanted:
        bounds["formats"] = tuple(dict.fromkeys(wanted))
    others = {name: value for name, value in given.items() if value is not None and name not in bounds}
    chosen = backend or default_backend()
    workers = workers or worker_count(chosen)
    settings = Settings(
        workers=workers,
        backend=chosen,
        is_warmed=not no_warmup,
        limits=Limits.of_one_of(workers, **bounds),
        **others,
    )
    raise SystemExit(run(settings, worker_command(sys.argv[1:], workers), lambda line: click.echo(line)))
