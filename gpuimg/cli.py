"""The command line: ``gpuimg run``, ``filters``, ``info``, ``calibrate``, ``demo`` and others.

Results go to stdout, progress and messages to stderr. Exit code 1: it could not be done, and one line says why.
Exit code 2: wrong usage.
"""

from __future__ import annotations

import inspect
import json
import logging
import math
import os
import re
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.shell_completion import BashComplete, add_completion_class, split_arg_string

import gpuimg
from gpuimg.dispatch import CHOICES
from gpuimg.errors import GpuimgError, one_line
from gpuimg.filters import filter_named
from gpuimg.jobs.texts import parameters, plain, read_step
from gpuimg.registry import Filter
from gpuimg.typing import Backend

if TYPE_CHECKING:
    from gpuimg.jobs.chains import Chain

BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}" type value
    local word="${line##* }" kept=""
    [[ $COMP_WORDBREAKS == *:* ]] && kept="${word%%"${word##*[:=]}"}"
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                COMPREPLY+=("${value#"$kept"}")
                [[ $value == *= ]] && compopt -o nospace
                ;;
        esac
    done < <(COMP_WORDS="$line" COMP_CWORD= %(complete_var)s=bash_complete "$1" 2> /dev/null)
    return 0
}
complete -F %(complete_func)s %(prog_name)s
"""
PACKAGES = ("numpy", "numba", "pillow", "tifffile", "cupy-cuda12x", "cupy-cuda13x")


class Commands(click.Group):
    """Commands whose expected errors are one line on stderr and exit code 1."""

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


def main() -> None:
    """Run the command line, with the settings of a process that a library must not touch."""
    logging.getLogger("tifffile").propagate = False  # it reports damage in many lines; our error is one
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    signal.signal(signal.SIGTERM, _terminate)
    add_completion_class(Bash, "bash")
    cli(prog_name="gpuimg")


def _show_warning(message: Warning | str, *_: Any) -> None:
    click.echo(f"Warning: {' '.join(str(message).split())}", err=True)


def _terminate(number: int, _: Any) -> NoReturn:
    """Leave by way of an exception, so that drafts of files and worker processes are cleared away."""
    raise SystemExit(128 + number)


def read_chain(ctx: click.Context, param: click.Parameter, texts: Iterable[str]) -> Chain:
    """Read the steps of a chain; what is wrong with one is wrong usage."""
    try:
        return gpuimg.chain(*map(read_step, texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def read_compression(ctx: click.Context, param: click.Parameter, text: str | None) -> str | int | None:
    """Levels are numbers."""
    return int(text) if text is not None and re.fullmatch("[0-9]", text) else text


def complete_filter(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The filters whose names begin so, for the shell."""
    return [name for name in gpuimg.FILTERS if name.startswith(incomplete)]


def complete_step(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The filters whose names begin so, or the parameters of a filter that is named, for the shell."""
    name, colon, _ = incomplete.partition(":")
    if not colon or name not in gpuimg.FILTERS:
        return complete_filter(ctx, param, incomplete)
    end = max(incomplete.rfind(":"), incomplete.rfind(",")) + 1
    before, begun = incomplete[:end], incomplete[end:]
    return [f"{before}{each}=" for each in parameters(gpuimg.FILTERS[name]) if each.startswith(begun)]


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


# Commands ----------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("sources", metavar="SRC...", type=click.Path(), nargs=-1, required=True)
@click.option(
    *("-o", "--output"),
    metavar="DST",
    type=click.Path(),
    help="Where to save the image: .tif, .png or .jpg; for several sources a folder, where each keeps its name.",
)
@click.option(
    *("-f", "--filter", "chain"),
    metavar="NAME:PARAM=VALUE,...",
    callback=read_chain,
    multiple=True,
    required=True,
    shell_complete=complete_step,
    help="A filter; repeat the option for a chain. See `gpuimg filters` and `gpuimg filters NAME`.",
)
@click.option("--backend", type=click.Choice(CHOICES), help="Where to run. Default: $GPUIMG_BACKEND, otherwise auto.")
@click.option("--explain", "explaining", is_flag=True, help="Print to stderr what runs where, and why.")
@click.option(
    *("--format", "kind"),
    type=click.Choice(("png", "tif", "jpg")),
    default="png",
    help="Of what is written to standard output.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--jobs", metavar="N", type=click.IntRange(min=1), help="Files at a time. Default: one a processor.")
@max_pixels_option
@max_bytes_option
@click.option("--strip", is_flag=True, help="Do not keep metadata: colour profile, EXIF, XMP, resolution, description.")
@click.option("--quality", metavar="N", type=click.IntRange(1, 100), help="Of JPEG, WebP and AVIF files.")
@click.option(
    "--compression",
    metavar="NAME",
    callback=read_compression,
    help="Of TIFF files: none, deflate, lzw or zstd. Of PNG files: a level from 0 to 9.",
)
def run(
    sources: Sequence[str],
    output: str | None,
    chain: Chain,
    backend: Backend | None,
    explaining: bool,
    kind: str,
    overwrite: bool,
    jobs: int | None,
    max_pixels: int | None,
    max_bytes: int | None,
    strip: bool,
    quality: int | None,
    compression: str | int | None,
) -> None:
    """Run filters over image files, and over every page of a TIFF.

    The depth of the file is kept: 8 and 16 bits, floats in TIFF; so are its metadata, as far as DST holds them. An
    alpha channel is not filtered as a colour: see alpha in `gpuimg filters invert`. A bool result is saved as 0 and
    255. A result that is not an image, such as of threshold_otsu or histogram, ends the chain and is printed as
    JSON. Of several files, or of a folder, each goes on when another fails; the exit code is 1 then. Files that are
    there are not replaced. "-" is standard input as SRC, and standard output as DST.

    \b
    gpuimg run photo.tif -o out.tif -f median:size=5 -f gaussian:sigma=2
    gpuimg run photo.png -o mask.png -f rgb2gray -f threshold:value=100 -f opening:footprint=5
    gpuimg run deep.tif -o small.png -f astype:dtype=uint8,scale=True
    gpuimg run photo.png -f rgb2gray -f threshold_otsu
    gpuimg run photo.jpg -o small.jpg -f resize:480,640 --quality 80 --strip
    gpuimg run one.png -o both.png -f "blend:other='two.png',alpha=0.3"
    gpuimg run scans/ *.tif -o smooth/ -f gaussian:sigma=2 --jobs 2
    gpuimg run - -o - -f invert --format tif < photo.png > negative.tif
    """
    saving = {"quality": quality, "compression": compression}
    if len(sources) > 1 or Path(sources[0]).is_dir() or (output is not None and _is_folder(output)):
        _run_many(sources, output, chain, backend, explaining, overwrite, jobs, max_pixels, max_bytes, strip, saving)
        return
    with _streams(sources[0], output, kind) as (src, target):
        overwrite = overwrite or output == "-"
        _run_one(src, target, chain, backend, explaining, overwrite, max_pixels, max_bytes, strip, saving)


def _run_one(
    src: str,
    output: str | None,
    chain: Chain,
    backend: Backend | None,
    explaining: bool,
    overwrite: bool,
    max_pixels: int | None,
    max_bytes: int | None,
    strip: bool,
    saving: dict[str, Any],
) -> None:
    """Run a chain over one file."""
    from gpuimg.files import axes_of_pages, open_pages, warn_left_out
    from gpuimg.jobs.chains import has_alpha_still, known_arguments

    keeping = output is not None and not strip
    if output is not None:
        _check_output(output, saving)
    with progress(len(chain) + 2) as begin, gpuimg.use_backend(backend or _default_backend()):
        begin(f"reading {src}")
        result, is_stack, has_alpha, metadata, left_out = open_pages(
            src, max_pixels=max_pixels, max_bytes=max_bytes, metadata=keeping
        )
        warn_left_out(src, left_out, "not read:")
        if output is not None and Path(output).exists() and not overwrite:
            raise click.ClickException(f"{output} is there already: say --overwrite to replace it")
        opened = _with_images(chain, max_pixels, max_bytes)
        _check_chain(opened, result, output, is_stack, has_alpha)
        for text, (entry, params) in zip(chain.texts(), opened.steps, strict=True):
            begin(text)
            axes = axes_of_pages(result.ndim) if is_stack else None
            before, given = result, known_arguments(entry, params, alpha=has_alpha or None, axes=axes)
            result = _apply(entry, given, before, explaining)
            has_alpha = has_alpha and has_alpha_still(before, result, axes)
        if output is not None:
            _save(result, output, begin, is_stack, {**saving, "metadata": metadata if keeping else None})
    if output is None:
        click.echo(json.dumps(plain(result), allow_nan=False))


@contextmanager
def _streams(src: str, output: str | None, kind: str) -> Iterator[tuple[str, str | None]]:
    """Files in place of standard input and output."""
    if "-" not in (src, output):
        yield src, output
        return
    with tempfile.TemporaryDirectory(prefix="gpuimg-") as folder:
        source, target = src, output
        if src == "-":
            source = str(Path(folder, "standard input"))
            with open(source, "wb") as file:  # noqa: PTH123 - a path as it is shown
                shutil.copyfileobj(sys.stdin.buffer, file)
        if output == "-":
            target = str(Path(folder, f"standard output.{kind}"))
        try:
            yield source, target
        except (click.ClickException, GpuimgError, OSError) as error:
            raise click.ClickException(_plainly(error).replace(f"{folder}{os.sep}", "")) from error
        if output == "-" and target is not None:
            with open(target, "rb") as file:  # noqa: PTH123
                shutil.copyfileobj(file, sys.stdout.buffer)


def _plainly(error: Exception) -> str:
    return error.format_message() if isinstance(error, click.ClickException) else one_line(error)


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def _run_many(
    sources: Sequence[str],
    output: str | None,
    chain: Chain,
    backend: Backend | None,
    explaining: bool,
    overwrite: bool,
    jobs: int | None,
    max_pixels: int | None,
    max_bytes: int | None,
    strip: bool,
    saving: dict[str, Any],
) -> None:
    """Run a chain over many files, and say at the end what became of them."""
    from gpuimg.jobs.batches import image_files

    if output is None or not (_is_folder(output) or (not Path(output).exists() and Path(output).suffix == "")):
        raise click.UsageError("of several files the results go into a folder: name one with -o, for example -o out/")
    if explaining:
        raise click.UsageError("--explain is for one file")
    chain = _with_images(chain, max_pixels, max_bytes)
    files = sum(1 for _ in image_files(sources))
    if files == 0:
        raise click.ClickException(f"there is no image file in {', '.join(sources)}")
    with progress(files) as begin, gpuimg.use_backend(backend or _default_backend()):

        def report(done: Any) -> None:
            begin(done.source.name)
            if done.error:
                click.echo(f"{done.source}: {done.error}", err=True)

        made = gpuimg.map_files(
            sources,
            chain,
            output,
            jobs=jobs,
            overwrite=overwrite,
            progress=report,
            max_pixels=max_pixels,
            max_bytes=max_bytes,
            metadata=not strip,
            **saving,
        )
    failed = sum(bool(done.error) for done in made)
    existing = sum(done.exists for done in made)
    refused = f"; {existing} exist already: say --overwrite to replace them" if existing else ""
    click.echo(f"{len(made) - failed} of {len(made)} files were written to {output}{refused}", err=True)
    if failed:
        raise SystemExit(1)


def _default_backend() -> Backend:
    from gpuimg.dispatch import requested

    try:
        return requested(None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _check_output(output: str, saving: dict[str, Any]) -> None:
    from gpuimg.files import check_target

    try:
        check_target(output, **saving)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="-o") from error


def _axes(ndim: int, is_stack: bool) -> dict[str, Any]:
    """What says that an array is a stack of pages."""
    from gpuimg.files import axes_of_pages

    return {"axes": axes_of_pages(ndim)} if is_stack else {}


def _with_images(chain: Chain, max_pixels: int | None, max_bytes: int | None) -> Chain:
    """A chain with the files read that it names in place of images."""

    def opened(entry: Filter, name: str, value: Any) -> Any:
        if name not in entry.images and not (name in entry.operands and isinstance(value, str)):
            return value
        if not isinstance(value, str):
            raise click.UsageError(f"{entry.name}: {name} must be the name of an image file, got {value!r}")
        return gpuimg.open_image(value, max_pixels=max_pixels, max_bytes=max_bytes)

    return gpuimg.chain(
        *[
            (entry.name, {name: opened(entry, name, value) for name, value in params.items()})
            for entry, params in chain.steps
        ]
    )


def _check_chain(chain: Chain, image: Any, output: str | None, is_stack: bool, has_alpha: bool) -> None:
    """Raise before anything is computed, where a step's arguments are wrong or the result cannot go where it should."""
    from gpuimg.files import check_fits
    from gpuimg.jobs.chains import conversion, planned_steps

    try:
        steps = list(planned_steps(chain, image, is_stack=is_stack, has_alpha=has_alpha))
    except (TypeError, ValueError) as error:
        logging.getLogger("gpuimg").debug("a step failed", exc_info=True)
        raise click.ClickException(one_line(error)) from error
    entry, made = steps[-1]
    if len(made) > 1:
        raise click.UsageError(f"{entry.name} returns {len(made)} images: call it from Python")
    if not made:
        if len(steps) < len(chain):
            raise click.UsageError(f"{entry.name} returns no image, so it must be the last filter")
        if output is not None:
            raise click.UsageError(f"{entry.name} returns no image but a result to print: leave out -o")
        return
    (value,) = made
    if output is None:
        raise click.UsageError(
            f"the result is an image, {value.dtype} of shape {value.shape}: say with -o where it goes"
        )
    try:
        check_fits(output, value.shape, value.dtype, conversion(value.dtype), **_axes(len(value.shape), is_stack))
    except (TypeError, ValueError) as error:
        raise click.ClickException(one_line(error)) from error


@contextmanager
def _errors_of(entry: Filter) -> Iterator[None]:
    """Turn what a filter says of its arguments into a line that names it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        logging.getLogger("gpuimg").debug("%s failed", entry.name, exc_info=True)
        raise click.ClickException(f"{entry.name}: {one_line(error)}") from error


def _apply(entry: Filter, params: dict[str, Any], image: Any, explaining: bool) -> Any:
    with _errors_of(entry):
        if explaining:
            click.echo(str(gpuimg.explain(entry.function, image, **params)) + "\n", err=True)
        return entry.function(image, **params)


def _save(image: Any, output: str, begin: Callable[[str], None], is_stack: bool, saving: dict[str, Any]) -> None:
    begin(f"writing {output}")
    try:
        gpuimg.save_image(output, image, **_axes(image.ndim, is_stack), **saving)
    except (TypeError, ValueError) as error:
        raise click.ClickException(one_line(error)) from error


@cli.command()
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
@click.option("--async", "asynchronous", is_flag=True, help="Show how free a program's loop stays meanwhile instead.")
def demo(
    path: str | None,
    megapixels: float | None,
    folder: str,
    max_pixels: int | None,
    max_bytes: int | None,
    asynchronous: bool,
) -> None:
    """Run one job on a large image in every way this machine supports.

    Median 5x5, Gaussian, Sobel, Otsu's threshold: in plain Python loops (alone, in threads, in processes), in NumPy
    slices, and with gpuimg on each backend. Shows the seconds, and whether all pixels are the same. With --async: by
    blocking calls, threads, processes and jobs, and how late an asyncio loop wakes up meanwhile.
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


@cli.command()
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


@cli.command()
@click.argument("name", required=False, shell_complete=complete_filter)
def filters(name: str | None) -> None:
    """List the filters, or show one filter's help."""
    if name is None:
        from gpuimg.advice import unwritten

        rows = [
            (found.name, found.family, "no" if unwritten(found.name) else "yes", _summary(found))
            for found in gpuimg.FILTERS.values()
        ]
        show_table(("filter", "family", "cuda", ""), sorted(rows, key=lambda row: (row[1], row[0])))
        return
    try:
        found = filter_named(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    help_text = (inspect.getdoc(found.function) or "").replace("see `gpuimg.filters`", "see below")
    click.echo(f"{found.name}{_signature(found)}\n\n{help_text}\n")
    if shared := _shared_parameters(found):
        click.echo(f"Shared parameters\n-----------------\n{shared}\n")
    click.echo(f"On the command line: gpuimg run SRC -o DST -f {_example(found)}")


def _signature(found: Filter) -> inspect.Signature:
    """A filter's signature without types: its help says more about them."""
    full = inspect.signature(found.function)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in full.parameters.values()]
    return full.replace(parameters=bare, return_annotation=inspect.Signature.empty)


def _shared_parameters(found: Filter) -> str:
    """What `gpuimg.filters` says of the parameters for which the filter's help refers to it."""
    import gpuimg.filters

    referring = re.findall(r"^([\w, ]+) : .*see `gpuimg\.filters`", inspect.getdoc(found.function) or "", re.MULTILINE)
    names = ", ".join(referring).split(", ")
    entries = re.finditer(r"^(\w+) : .+\n(?:    .+\n)+", inspect.getdoc(gpuimg.filters) or "", re.MULTILINE)
    texts = {entry[1]: entry[0] for entry in entries}
    return "".join([texts[name] for name in names if name in texts]).rstrip()


def _summary(found: Filter) -> str:
    return (inspect.getdoc(found.function) or "").partition("\n")[0]


def _example(found: Filter) -> str:
    """A step that sets what must be set, or else the first parameter, to the value of an example."""
    known = parameters(found)
    params = next((example for example in found.examples if example), {})
    written = {name: value for name, value in params.items() if name in known}
    written = {name: value for name, value in written.items() if not (hasattr(value, "shape") or callable(value))}
    written |= dict.fromkeys(found.images, "'FILE.png'")
    if missing := [name for name in known if known[name].default is inspect.Parameter.empty and name not in written]:
        return f"{found.name}:{','.join(f'{name}=...' for name in missing)}"
    text = ",".join(f"{name}={value}" for name, value in written.items())
    step = f"{found.name}:{text}" if text else found.name
    if "'" in step:
        return f'"{step}"'
    return f"'{step}'" if set(step) & set(" ()[]*") else step


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


@cli.command()
@click.option("--reset", is_flag=True, help="Remove what was stored for this machine, and measure nothing.")
def calibrate(reset: bool) -> None:
    """Measure this machine, so that "auto" uses its measured speeds.

    Takes about half a minute, while nothing else should run. Filters that are not compiled yet are compiled first, for
    half of that time at most; run `gpuimg warmup` before to have all measured.
    """
    from gpuimg import machine
    from gpuimg.run import backend_named

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


@cli.command()
@click.argument("names", metavar="[FILTER]...", nargs=-1, shell_complete=complete_filter)
@click.option("--dtype", "dtypes", multiple=True, default=("uint8", "float32"), help="Of the images; may be repeated.")
def warmup(names: Sequence[str], dtypes: Sequence[str]) -> None:
    """Compile filters beforehand, all of them or those named, so that their first use does not wait.

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


@cli.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print a script that completes commands, filters and their parameters in a shell.

    \b
    echo 'eval "$(gpuimg completion bash)"' >> ~/.bashrc
    echo 'eval "$(gpuimg completion zsh)"' >> ~/.zshrc
    gpuimg completion fish > ~/.config/fish/completions/gpuimg.fish
    """
    from click.shell_completion import get_completion_class

    found = Bash if shell == "bash" else get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "gpuimg", "_GPUIMG_COMPLETE").source())


class Bash(BashComplete):
    """Completion in bash, which takes ``:`` and ``=`` for the ends of words, unlike Click."""

    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        incomplete = "" if not words or line[-1:].isspace() else words.pop()
        return words, incomplete


# The terminal ------------------------------------------------------------------------------------------------------


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


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; '' is every one.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes on the port."
)
@click.option("--backend", type=click.Choice(CHOICES), help="Where to run. Default: $GPUIMG_BACKEND, otherwise auto.")
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
def serve(backend: Backend | None, no_warmup: bool, formats: Sequence[str], **given: Any) -> None:
    """Answer HTTP requests: an image and a chain of filters in, the result out; a page for it at "/".

    With --workers N a supervisor replaces workers that die or hang; SIGHUP restarts them one after the other. SIGTERM
    ends the service when the requests that were admitted are answered. Needs `pip install 'gpuimg[serve]'`.

    \b
    gpuimg serve --port 8080
    curl --data-binary @photo.png 'http://127.0.0.1:8080/v1/apply?f=gaussian:sigma=2&f=sobel' > edges.tif
    """
    try:
        from gpuimg.service.command import Settings, run, worker_command
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
    settings = Settings(
        backend=backend or _default_backend(),
        is_warmed=not no_warmup,
        limits=Limits.of_one_of(given["workers"], **bounds),
        **others,
    )
    raise SystemExit(run(settings, worker_command(sys.argv[1:]), lambda line: click.echo(line)))


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Give a function that says what begins now; where stderr is a terminal it moves a bar there."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        begun = count()
        yield lambda text: bar.update(task, completed=next(begun), description=escape(text))


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print a table to stdout: drawn where that is a terminal, else in plain columns for other programs to read."""
    rows = list(rows)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=any(header))
        for col, title in enumerate(header):
            table.add_column(title, justify="right" if col in right else "left", header_style="bold", no_wrap=col == 0)
        for row in rows:
            table.add_row(*map(escape, row))
        Console().print(table)
        return
    lines = [header, *rows] if any(header) else rows
    widths = [max(len(line[col]) for line in lines) for col in range(len(header))]
    for line in lines:
        cells = (
            cell.rjust(width) if col in right else cell.ljust(width)
            for col, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())
