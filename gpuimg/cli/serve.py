"""``gpuimg serve``: the HTTP service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from gpuimg.cli.options import Bytes, Seconds, backend_option, default_backend
from gpuimg.extras import remedy
from gpuimg.typing import Backend


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; '' for all interfaces.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 selects a free one.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 256),
    help="Worker processes. Default: one per GPU; two without a GPU.",
)
@backend_option
@click.option(
    *("--host-name", "host_names"),
    metavar="NAME",
    multiple=True,
    help="Accepted Host name. Default: on loopback its names, otherwise any.",
)
@click.option(
    *("--origin", "origins"),
    metavar="ORIGIN",
    multiple=True,
    help="Origin of web pages allowed to send requests. Default: the service itself.",
)
@click.option("--token-file", metavar="FILE", default="", help="File with the bearer token that clients must send.")
@click.option(
    *("--cache", "cache_url"),
    metavar="URL",
    default="",
    help="Redis for a shared cache, such as redis://localhost:6379/0.",
)
@click.option(
    *("--cache-memory", "cache_bytes"),
    metavar="BYTES",
    type=Bytes(),
    help="Cache in memory, per worker. Default: 256M.",
)
@click.option(
    "--cache-seconds", metavar="SECONDS", type=Seconds(0.001), help="Lifetime of results in Redis. Default: 3600."
)
@click.option("--cache-entry", metavar="BYTES", type=Bytes(), help="Maximum of a result in Redis. Default: 4M.")
@click.option(*("--max-body", "body_bytes"), metavar="BYTES", type=Bytes(), help="Maximum of a request. Default: 256M.")
@click.option(
    *("--max-pixels", "pixels"),
    metavar="N",
    type=click.IntRange(min=1),
    help="Maximum of an image or page. Default: 10**8.",
)
@click.option(
    *("--max-bytes", "decoded_bytes"),
    metavar="BYTES",
    type=Bytes(),
    help="Maximum of a decoded image and of each result. Default: 1/16 of the machine's memory.",
)
@click.option("--format", "formats", metavar="NAME", multiple=True, help="Allowed file format. Default: all.")
@click.option(
    "--running", metavar="N", type=click.IntRange(min=1), help="Requests processed concurrently. Default: one per CPU."
)
@click.option("--reading", type=click.IntRange(1), metavar="N", help="Bodies received concurrently. Default: 64.")
@click.option("--queued", metavar="N", type=click.IntRange(min=0), help="Maximum of waiting requests. Default: 64.")
@click.option(
    "--queued-bytes",
    metavar="BYTES",
    type=Bytes(),
    help="Maximum of decoded waiting requests. Default: 1/8 of memory.",
)
@click.option(
    "--waiting-seconds",
    metavar="SECONDS",
    type=Seconds(0),
    help="Maximum estimated wait of a request. Default: 2.",
)
@click.option(
    *("--deadline", "seconds"), metavar="SECONDS", type=Seconds(0.01), help="Time limit of a request. Default: 60."
)
@click.option(
    "--drain-seconds",
    metavar="SECONDS",
    type=Seconds(0),
    default=30.0,
    help="Time to finish requests on shutdown. Default: 30.",
)
@click.option("--no-warmup", is_flag=True, help="Accept requests before all filters are compiled.")
def serve(workers: int | None, backend: Backend | None, no_warmup: bool, formats: Sequence[str], **given: Any) -> None:
    """Serve filters over HTTP, with a web page at "/" to try them.

    A request carries an image and a chain of filters, the response is the result. With two or more workers a supervisor
    replaces those that die or hang; SIGHUP restarts them one after the other. SIGTERM stops the service once admitted
    requests are completed. Needs Tornado.

    \b
    gpuimg serve --port 8080
    curl --data-binary @photo.png 'http://127.0.0.1:8080/v1/apply?f=gaussian:sigma=2&f=sobel' > edges.tif
    """
    try:
        from gpuimg.service.command import Settings, run, worker_command, worker_count
        from gpuimg.service.limits import SERVED, Limits
    except ModuleNotFoundError as error:
        raise click.ClickException(f"the service needs {error.name}: {remedy('serve')}") from error
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
