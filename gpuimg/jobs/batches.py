"""One filter over many image files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gpuimg.errors import GpuimgError, one_line
from gpuimg.files import check_target, open_pages, save_image
from gpuimg.jobs.chains import Chain, chain, filter_of
from gpuimg.jobs.pool import Pool
from gpuimg.jobs.streams import stream

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")


class Done(NamedTuple):
    """What became of a file.

    Attributes
    ----------
    source, target : the files
    error : what went wrong in one line; empty if nothing did
    seconds : for reading, filtering and writing
    exists : whether nothing was done since the target is there already, and not to be replaced
    """

    source: Path
    target: Path
    error: str
    seconds: float
    exists: bool = False


def image_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """The files among paths, and the image files in folders, by name; not those in their folders."""
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
        else:
            yield path


def map_files(
    paths: Iterable[str | os.PathLike[str]],
    filter: Any,
    out: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: Callable[[Done], None] | None = None,
    max_pixels: int | None = None,
    max_bytes: int | None = None,
    **params: Any,
) -> list[Done]:
    """Run a filter over image files and save the results under the same names in a folder.

    A file that cannot be read, filtered or written is reported, and the others go on.

    Parameters
    ----------
    paths : files, and folders whose image files are taken
    filter : a filter, its name, what `chain` returns, or a plain function of an image that calls filters. A filter or a
        chain filters all pages of a file; a plain function gets no file of several pages
    out : the folder; it is made if it is not there
    jobs : how many files at a time, by default one for each processor
    overwrite : whether files that are there may be replaced
    progress : called with what became of each file, in their order
    max_pixels, max_bytes : limits of the files, as for `open_image`
    **params : of the filter

    Returns
    -------
    list of Done : source, target, error, seconds and exists of each file, in their order

    Raises
    ------
    OSError : the folder cannot be made
    TypeError, ValueError : the filter is none

    Examples
    --------
    >>> import gpuimg, tempfile
    >>> from gpuimg.demo import photo
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gpuimg.save_image(f"{folder}/one.png", photo(0.01))
    ...     [done] = gpuimg.map_files([folder], "gaussian", f"{folder}/out", sigma=2)
    >>> done.target.name, done.error
    ('one.png', '')
    """
    found = None if isinstance(filter, Chain) else filter_of(filter)
    used = chain((found.function, params)) if found is not None else filter
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    report = progress or (lambda _: None)
    limits = {"max_pixels": max_pixels, "max_bytes": max_bytes}
    given = {} if found is not None else params
    work = partial(_one_file, used, given, limits, overwrite)
    done = []
    with Pool(running=jobs) as pool:
        for each in stream(_with_targets(paths, folder), work, pool=pool):
            report(each)
            done.append(each)
    return done


def _with_targets(paths: Iterable[str | os.PathLike[str]], folder: Path) -> Iterator[tuple[Path, Path, str]]:
    """Each file with its target, and what is wrong with that; the first of several of one name has it."""
    taken: dict[Path, Path] = {}
    for source in image_files(paths):
        target = folder / source.name
        first = taken.setdefault(target, source)
        yield source, target, "" if first is source else f"{first} has the same name"


def _one_file(
    filter: Any, params: dict[str, Any], limits: dict[str, int | None], overwrite: bool, file: tuple[Path, Path, str]
) -> Done:
    source, target, error = file
    start = time.perf_counter()
    exists = False
    if not error:
        try:
            _check(source, target)
            exists = target.exists() and not overwrite
            if exists:
                raise ValueError(f"{target} is there already")
            image, is_stack, has_alpha = open_pages(source, **limits)
            if is_stack and not isinstance(filter, Chain):
                raise ValueError("the file has several pages, which a plain function is not called with")
            if isinstance(filter, Chain):
                params = {**params, "alpha": has_alpha or None}
            result, axes = filter.of_pages(image, **params) if is_stack else (filter(image, **params), None)
            save_image(target, result, axes=axes)
        except (GpuimgError, OSError, TypeError, ValueError, MemoryError) as raised:
            error = one_line(raised).removeprefix(f"{source}: ")
    return Done(source, target, error, time.perf_counter() - start, exists)


def _check(source: Path, target: Path) -> None:
    check_target(target)
    if target.exists() and target.samefile(source):
        raise ValueError("the result would replace its own source")
