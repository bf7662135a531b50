"""The command line: ``gpuimg run``, ``filters``, ``info``, ``calibrate``, ``demo`` and others.

Results go to stdout, progress and messages to stderr. Exit code 1: failure, with a one-line message. Exit code 2: wrong
usage.
"""

from __future__ import annotations

import logging
import signal
import warnings
from typing import Any, NoReturn

import click
from click.shell_completion import add_completion_class

import gpuimg
from gpuimg.cli import completion, demo, filters, info, machine, run, serve
from gpuimg.errors import GpuimgError, one_line


class Commands(click.Group):
    """Commands that report expected errors in one line on stderr, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (GpuimgError, OSError, MemoryError) as error:
            raise click.ClickException(one_line(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(gpuimg.__version__, prog_name="gpuimg", message="%(prog)s %(version)s")
def cli() -> None:
    """Image filters on the GPU, on all cores or on one, with the same pixels everywhere."""


for command in (
    run.run,
    demo.demo,
    info.info,
    filters.filters,
    machine.calibrate,
    machine.warmup,
    completion.completion,
    serve.serve,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line, with process-wide settings that a library must not change."""
    logging.getLogger("tifffile").propagate = False  # it reports damage in many lines; our error is one
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    signal.signal(signal.SIGTERM, _terminate)
    add_completion_class(completion.Bash, "bash")
    cli(prog_name="gpuimg")


def _show_warning(message: Warning | str, *_: Any) -> None:
    click.echo(f"Warning: {' '.join(str(message).split())}", err=True)


def _terminate(number: int, _: Any) -> NoReturn:
    """Exit by an exception, so that temporary files and worker processes are cleaned up."""
    raise SystemExit(128 + number)
