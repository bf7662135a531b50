"""Options, types of values and completion shared by the commands."""

from __future__ import annotations

import math
import re
from typing import Any

import click

import gpuimg
from gpuimg.dispatch import CHOICES
from gpuimg.jobs.texts import parameters
from gpuimg.typing import Backend


def complete_filter(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return completions of a filter's name."""
    return [name for name in gpuimg.FILTERS if name.startswith(incomplete)]


def complete_step(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return completions of a filter's name, or of its parameters after the name."""
    name, colon, _ = incomplete.partition(":")
    if not colon or name not in gpuimg.FILTERS:
        return complete_filter(ctx, param, incomplete)
    end = max(incomplete.rfind(":"), incomplete.rfind(",")) + 1
    before, begun = incomplete[:end], incomplete[end:]
    return [f"{before}{each}=" for each in parameters(gpuimg.FILTERS[name]) if each.startswith(begun)]


backend_option = click.option(
    "--backend", type=click.Choice(CHOICES), help="Where to run. Default: $GPUIMG_BACKEND, otherwise auto."
)
max_pixels_option = click.option(
    "--max-pixels",
    metavar="N",
    type=click.IntRange(min=1),
    help="Accept image files with at most this number of pixels. Default: Pillow's limit, 89478485.",
)
max_bytes_option = click.option(
    "--max-bytes",
    metavar="N",
    type=click.IntRange(min=1),
    help="Accept image files of at most this size once decoded. Default: a quarter of the machine's memory.",
)


def default_backend() -> Backend:
    """Return the backend to use without an option."""
    from gpuimg.dispatch import requested

    try:
        return requested(None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


class Bytes(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, such as 500000, 64K, 256M or 2G."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d{1,15})([KMGT]?)B?", str(value).strip().upper())
        if found is None:
            self.fail(f"must be a number of bytes such as 500000, 64K, 256M or 2G, got {value!r}", param, ctx)
        return int(found[1]) << 10 * " KMGT".index(found[2] or " ")


class Seconds(click.FloatRange):
    """A finite time in seconds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"must be a finite number of seconds, got {value!r}", param, ctx)
        return found
