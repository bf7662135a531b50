"""``gpuimg run``: filters over files."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import gpuimg
from gpuimg.cli.options import backend_option, complete_step, default_backend, max_bytes_option, max_pixels_option
from gpuimg.cli.terminal import progress
from gpuimg.errors import GpuimgError, one_line
from gpuimg.jobs.texts import plain, read_step
from gpuimg.registry import Filter
from gpuimg.typing import Backend

if TYPE_CHECKING:
    from gpuimg.jobs.chains import Chain


def read_chain(ctx: click.Context, param: click.Parameter, texts: Iterable[str]) -> Chain:
    """Read the steps of a chain; an invalid step is a usage error."""
    try:
        return gpuimg.chain(*map(read_step, texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def read_compression(ctx: click.Context, param: click.Parameter, text: str | None) -> str | int | None:
    """Read a compression: the name of a method, or a level as a number."""
    return int(text) if text is not None and re.fullmatch("[0-9]", text) else text


def read_format(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    """Read a format by its suffix without the dot."""
    from gpuimg.jobs.batches import WRITABLE

    return text if text is None else _one_of([suffix[1:] for suffix in WRITABLE], text)


def read_subsampling(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    """Read the name of a subsampling."""
    from gpuimg.files.formats import SUBSAMPLINGS

    return text if text is None else _one_of(SUBSAMPLINGS, text)


def _one_of(known: Sequence[str], text: str) -> str:
    if text not in known:
        raise click.BadParameter(f"must be one of {', '.join(known)}, got {text!r}")
    return text


@click.command()
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
    help="A filter; repeat the option for a chain. Values without names come first and are assigned to the parameters "
    "in order: clip:50,200 is clip:min=50,max=200. A parameter of several numbers takes the numbers that follow: "
    "resize:480,640. See `gpuimg filters` and `gpuimg filters NAME`.",
)
@backend_option
@click.option("--explain", "explaining", is_flag=True, help="Print to stderr which backend runs the filters, and why.")
@click.option(
    *("--format", "kind"),
    metavar="NAME",
    callback=read_format,
    help="Format of standard output: png (default), tif, jpg, ... In a folder, files are converted to this format and "
    "take its suffix.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1),
    help="Number of files processed in parallel. Default: one per processor.",
)
@max_pixels_option
@max_bytes_option
@click.option("--strip", is_flag=True, help="Do not keep metadata: colour profile, EXIF, XMP, resolution, description.")
@click.option("--quality", metavar="N", type=click.IntRange(1, 100), help="Quality of JPEG, WebP and AVIF files.")
@click.option(
    "--subsampling",
    metavar="J:A:B",
    callback=read_subsampling,
    help="Chroma subsampling of JPEG and AVIF files: 4:4:4 (default, no subsampling), 4:2:2 or 4:2:0.",
)
@click.option(
    "--compression",
    metavar="NAME",
    callback=read_compression,
    help="Compression of TIFF files: none, deflate, lzw or zstd; of PNG files: a level from 0 to 9.",
)
def run(
    sources: Sequence[str],
    output: str | None,
    chain: Chain,
    backend: Backend | None,
    explaining: bool,
    kind: str | None,
    overwrite: bool,
    jobs: int | None,
    max_pixels: int | None,
    max_bytes: int | None,
    strip: bool,
    quality: int | None,
    subsampling: str | None,
    compression: str | int | None,
) -> None:
    """Run filters over image files, and over every page of a TIFF.

    The depth of the file is preserved: 8 and 16 bits, floats in TIFF; so are its metadata, if the format of DST
    supports them. An alpha channel is not filtered as a colour: see alpha in `gpuimg filters invert`. A bool result is
    saved as 0 and 255. A result that is not an image, such as that of threshold_otsu or histogram, ends the chain and
    is printed as JSON. If one of several files fails, the others are still processed, and the exit code is 1. Existing
    files are not replaced. "-" is standard input as SRC, and standard output as DST.

    \b
    gpuimg run photo.tif -o out.tif -f median:size=5 -f gaussian:sigma=2
    gpuimg run photo.png -o mask.png -f rgb2gray -f threshold:value=100 -f opening:footprint=5
    gpuimg run deep.tif -o small.png -f astype:dtype=uint8,scale=True
    gpuimg run photo.png -f rgb2gray -f threshold_otsu
    gpuimg run photo.jpg -o small.jpg -f resize:480,640 --quality 80 --strip
    gpuimg run one.png -o both.png -f blend:other=two.png,alpha=0.3
    gpuimg run scans/ *.tif -o smooth/ -f gaussian:sigma=2 --jobs 2
    gpuimg run scans/ -o small/ -f resize:480,640 --format jpg --quality 85 --subsampling 4:2:0
    gpuimg run - -o - -f invert --format tif < photo.png > negative.tif
    """
    saving = {"quality": quality, "compression": compression, "subsampling": subsampling}
    work = Work(chain, backend or default_backend(), overwrite, not strip, max_pixels, max_bytes, saving)
    if len(sources) > 1 or Path(sources[0]).is_dir() or (output is not None and _is_folder(output)):
        if explaining:
            raise click.UsageError("--explain is for one file")
        _run_many(work, sources, output, jobs, None if kind is None else f".{kind}")
        return
    if kind is not None and output != "-":
        raise click.UsageError("--format is for standard output and for folders; a file's format is that of its name")
    with _streams(sources[0], output, kind or "png") as (src, target):
        _run_one(work, src, target, explaining, overwrite or output == "-")


@dataclass(frozen=True)
class Work:
    """The chain to run on each file, and options for reading and writing."""

    chain: Chain
    backend: Backend
    overwrite: bool
    keeps_metadata: bool
    max_pixels: int | None
    max_bytes: int | None
    saving: dict[str, Any]

    @property
    def bounds(self) -> dict[str, Any]:
        """Limits of the files that are read."""
        return {"max_pixels": self.max_pixels, "max_bytes": self.max_bytes}


def _run_one(work: Work, src: str, output: str | None, explaining: bool, overwrite: bool) -> None:
    """Run a chain over one file."""
    from gpuimg.files import axes_of_pages, open_pages, warn_left_out
    from gpuimg.jobs.chains import has_alpha_still, known_arguments

    keeping = output is not None and work.keeps_metadata
    if output is not None:
        _check_output(output, work.saving)
    with progress(len(work.chain) + 2) as begin, gpuimg.use_backend(work.backend):
        begin(f"reading {src}")
        result, is_stack, has_alpha, metadata, left_out = open_pages(src, **work.bounds, metadata=keeping)
        warn_left_out(src, left_out, "not read:")
        if output is not None and Path(output).exists() and not overwrite:
            raise click.ClickException(f"{output} already exists: use --overwrite to replace it")
        opened = _with_images(work)
        _check_chain(opened, result, output, is_stack, has_alpha)
        for text, (entry, params) in zip(work.chain.texts(), opened.steps, strict=True):
            begin(text)
            axes = axes_of_pages(result.ndim) if is_stack else None
            before, given = result, known_arguments(entry, params, alpha=has_alpha or None, axes=axes)
            result = _apply(entry, given, before, explaining)
            has_alpha = has_alpha and has_alpha_still(before, result, axes)
        if output is not None:
            _save(result, output, begin, is_stack, {**work.saving, "metadata": metadata if keeping else None})
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


def _run_many(work: Work, sources: Sequence[str], output: str | None, jobs: int | None, suffix: str | None) -> None:
    """Run a chain over many files, and report how many were written."""
    from gpuimg.jobs.batches import image_files

    if output is None or not (_is_folder(output) or (not Path(output).exists() and Path(output).suffix == "")):
        raise click.UsageError("several files need a folder for the results: name one with -o, for example -o out/")
    chain = _with_images(work)
    files = sum(1 for _ in image_files(sources, suffix))
    if files == 0:
        raise click.ClickException(f"there is no image file in {', '.join(sources)}")
    with progress(files) as begin, gpuimg.use_backend(work.backend):

        def report(done: Any) -> None:
            begin(done.source.name)
            if done.error:
                click.echo(f"{done.source}: {done.error}", err=True)

        made = gpuimg.map_files(
            sources,
            chain,
            output,
            jobs=jobs,
            overwrite=work.overwrite,
            progress=report,
            metadata=work.keeps_metadata,
            suffix=suffix,
            **work.bounds,
            **work.saving,
        )
    failed = sum(bool(done.error) for done in made)
    existing = sum(done.exists for done in made)
    refused = f"; {existing} already exist: use --overwrite to replace them" if existing else ""
    click.echo(f"{len(made) - failed} of {len(made)} files were written to {output}{refused}", err=True)
    if failed:
        raise SystemExit(1)


def _check_output(output: str, saving: dict[str, Any]) -> None:
    from gpuimg.files import check_target

    try:
        check_target(output, **saving)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="-o") from error


def _axes(ndim: int, is_stack: bool) -> dict[str, Any]:
    """Return the ``axes`` of an array, if it is a stack of pages."""
    from gpuimg.files import axes_of_pages

    return {"axes": axes_of_pages(ndim)} if is_stack else {}


def _with_images(work: Work) -> Chain:
    """Read the image files that a chain names as parameters, and return the chain with the images."""

    def opened(entry: Filter, name: str, value: Any) -> Any:
        if name not in entry.images and not (name in entry.operands and isinstance(value, str)):
            return value
        if not isinstance(value, str):
            raise click.UsageError(f"{entry.name}: {name} must be the name of an image file, got {value!r}")
        if not Path(value).exists():
            kind = "a number or the name" if name in entry.operands else "the name"
            raise click.UsageError(f"{entry.name}: {name} must be {kind} of an image file; there is no file {value!r}")
        return gpuimg.open_image(value, **work.bounds)

    return gpuimg.chain(
        *[
            (entry.name, {name: opened(entry, name, value) for name, value in params.items()})
            for entry, params in work.chain.steps
        ]
    )


def _check_chain(chain: Chain, image: Any, output: str | None, is_stack: bool, has_alpha: bool) -> None:
    """Raise, before computing, if a step's arguments are wrong or the result cannot be written to the target."""
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
        raise click.UsageError(f"the result is an image, {value.dtype} of shape {value.shape}: name a target with -o")
    try:
        check_fits(output, value.shape, value.dtype, conversion(value.dtype), **_axes(len(value.shape), is_stack))
    except (TypeError, ValueError) as error:
        raise click.ClickException(one_line(error)) from error


@contextmanager
def _errors_of(entry: Filter) -> Iterator[None]:
    """Turn a filter's errors into one line that names the filter."""
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
