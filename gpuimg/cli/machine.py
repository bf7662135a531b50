"""``gpuimg calibrate`` and ``gpuimg warmup``: measure and compile in advance."""

from __future__ import annotations

from collections.abc import Sequence

import click

import gpuimg
from gpuimg.cli.options import complete_filter
from gpuimg.cli.terminal import progress, show_table
from gpuimg.filters import filter_named

UNITS = {
    "single_call": (1e6, "us"),
    "multicore_call": (1e6, "us"),
    "processes_call": (1e3, "ms"),
    "multicore_speedup": (1, "times one thread"),
    "copy_bandwidth": (1e-9, "GB/s"),
    "pcie_bandwidth": (1e-9, "GB/s"),
    "gpu_bandwidth": (1e-9, "GB/s"),
    "gpu_call": (1e6, "us"),
    "gpu_launch": (1e6, "us"),
}


@click.command()
@click.option("--reset", is_flag=True, help="Remove the figures stored for this machine, without measuring.")
def calibrate(reset: bool) -> None:
    """Measure this machine, so that "auto" uses its measured speeds.

    Takes about half a minute, during which nothing else should run. Filters that are not compiled yet are compiled
    first, for at most half of that time; run `gpuimg warmup` beforehand to measure all of them.
    """
    from gpuimg import machine
    from gpuimg.choosing import backend_named

    if reset:
        was_stored = machine.reset()
        click.echo(
            f"{'Removed from' if was_stored else 'Nothing of this machine was stored in'} {machine.figures_path()}"
        )
        return
    with progress(6 * len(gpuimg.FILTERS)) as begin:
        figures = gpuimg.calibrate(progress=begin)
    has_gpu = backend_named("cuda").unusable() is None
    rows = [
        (name.replace("_", " "), f"{getattr(figures, name) * factor:.3g}", unit)
        for name, (factor, unit) in UNITS.items()
        if has_gpu or name not in machine.GPU_FIGURES
    ]
    rows.append(("speeds", str(len(figures.speeds)), "kernels and dtypes"))
    show_table(("figure", "value", "unit"), rows, right=(1,))
    click.echo(f"\nStored in {machine.figures_path()}")


@click.command()
@click.argument("names", metavar="[FILTER]...", nargs=-1, shell_complete=complete_filter)
@click.option(
    "--dtype", "dtypes", multiple=True, default=("uint8", "float32"), help="Dtype of the images; may be repeated."
)
def warmup(names: Sequence[str], dtypes: Sequence[str]) -> None:
    """Compile all filters, or those named, in advance, so that their first use is fast.

    \b
    gpuimg warmup
    gpuimg warmup gaussian median --dtype uint16
    """
    try:
        for name in names:
            filter_named(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="FILTER") from error
    try:
        with progress(len(names or gpuimg.FILTERS) * len(dtypes)) as begin:
            done = gpuimg.warmup(names or None, dtypes, progress=begin)
    except TypeError as error:
        raise click.BadParameter(str(error), param_hint="--dtype") from error
    click.echo(f"{done.filters - len(done.failed)} filters are ready, counted once for each dtype")
    for name, why in done.failed.items():
        click.echo(f"{name}: {why}", err=True)
    if done.failed:
        raise SystemExit(1)
