"""``gpuimg info``: backends, devices, caches and versions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

import gpuimg
from gpuimg.cli.terminal import show_table

PACKAGES = ("numpy", "numba", "pillow", "tifffile", "cupy-cuda12x", "cupy-cuda13x")


@click.command()
def info() -> None:
    """Show backends, devices, caches and versions."""
    from gpuimg import machine
    from gpuimg.advice import backends
    from gpuimg.caching import cache_folder

    show_table(("backend", "usable", ""), [_status_row(status) for status in backends()])
    measured = "measured by `gpuimg calibrate`" if machine.stored() else "not measured: `gpuimg calibrate`"
    click.echo()
    rows = [
        ("processors", str(machine.processor_count())),
        ("cache folder", str(cache_folder())),
        ("speeds", measured),
        ("gpuimg", gpuimg.__version__),
        ("python", sys.version.split()[0]),
        *_versions(),
    ]
    show_table(("", ""), rows)


def _status_row(status: Any) -> tuple[str, str, str]:
    return status.name, "yes" if status.usable else "no", status.detail or status.reason


def _versions() -> Iterator[tuple[str, str]]:
    from importlib.metadata import PackageNotFoundError, version

    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"
