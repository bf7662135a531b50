"""``gpuimg demo``: one job by every route."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

import gpuimg
from gpuimg.cli.options import max_bytes_option, max_pixels_option
from gpuimg.cli.terminal import progress, show_table
from gpuimg.errors import one_line


@click.command()
@click.option(
    "--image", "path", metavar="FILE", type=click.Path(), help="An image file in place of the synthetic image."
)
@click.option(
    "--megapixels", metavar="N", type=click.FloatRange(1e-4, 2000), help="Size of the synthetic image. Default: 50."
)
@click.option(
    *("--out", "folder"), metavar="DIR", type=click.Path(), default="gpuimg-demo", help="Folder for the results."
)
@max_pixels_option
@max_bytes_option
@click.option(
    "--async", "asynchronous", is_flag=True, help="Measure the latency of an asyncio loop during the job instead."
)
def demo(
    path: str | None,
    megapixels: float | None,
    folder: str,
    max_pixels: int | None,
    max_bytes: int | None,
    asynchronous: bool,
) -> None:
    """Run one job on a large image in every way this machine supports.

    5x5 median, Gaussian, Sobel, Otsu's threshold: in plain Python loops (alone, in threads, in processes), in NumPy
    slices, and with gpuimg on each backend. Shows the seconds, and whether all pixels are the same. With --async: by
    blocking calls, threads, processes and jobs, with the delay of an asyncio loop during each.
    """
    from gpuimg import demo as story
    from gpuimg import demo_lag

    if path is not None and megapixels is not None:
        raise click.UsageError("--megapixels is for the synthetic image; omit it with --image")
    with progress(1 + story.steps()) as begin:
        begin(f"reading {path}" if path else "drawing an image")
        try:
            if path is None:
                image = story.photo(megapixels or 50)
            else:
                image = story.grey_8bit(gpuimg.open_image(path, max_pixels=max_pixels, max_bytes=max_bytes))
        except (TypeError, ValueError) as error:
            raise click.ClickException(f"{path}: {one_line(error)}") from error
        rows, cols = image.shape
        if asynchronous:
            lags = demo_lag.measure(image, begin)
        else:
            found = story.demo(image, Path(folder), begin)
    if asynchronous:
        click.echo(f"{image.size / 1e6:.3g} megapixels ({rows} x {cols}, uint8), {demo_lag.LOADS} times each way\n")
        show_table(*demo_lag.table(lags), right=(1, 2, 3, 4))
        click.echo("\nHow late a task wakes up that sleeps for 5 ms again and again, in a loop of this process")
        return
    click.echo(f"{image.size / 1e6:.3g} megapixels ({rows} x {cols}, uint8): {story.TITLE}\n")
    slowest = found.timings[0].seconds or math.nan
    rows_shown = [_timing_row(timing, slowest) for timing in found.timings if timing.seconds is not None]
    show_table(("route", "seconds", "speed-up", "same pixels", "first use", "on"), rows_shown, right=(1, 2, 4))
    click.echo()
    for timing in found.timings:
        if timing.seconds is None:
            click.echo(f"{timing.route} did not run: {timing.note}")
    if found.timings[0].scaled:
        click.echo(f"~ timed on the middle {found.crop[0]} x {found.crop[1]} pixels and scaled up")
    click.echo("First use, not in the seconds: compiling (kept on disk for the next time), starting threads or workers")
    click.echo(f"Saved {', '.join(map(str, found.pictures))}")


def _timing_row(timing: Any, slowest: float) -> tuple[str, ...]:
    first = "" if timing.first_use is None else _digits(timing.first_use)
    seconds = "~" * timing.scaled + _digits(timing.seconds)
    same = "yes" if timing.same else "NO"
    return timing.route, seconds, _digits(slowest / timing.seconds), same, first, timing.note


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
