"""One filter over many image files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gpuimg.errors import GpuimgError, one_line
from gpuimg.files import FORMATS, axes_of_pages, check_fits, check_target, open_pages, save_image, warn_left_out
from gpuimg.jobs.chains import Chain, chain, conversion, filter_of, planned_steps
from gpuimg.jobs.pool import Pool
from gpuimg.jobs.streams import stream

# Suffixes of the image files in a folder; an NPY file may hold anything.
READABLE = tuple([suffix for form in FORMATS if form.name != "NPY" for suffix in form.suffixes])
WRITABLE = tuple([suffix for form in FORMATS if form.write for suffix in form.suffixes])


class Done(NamedTuple):
    """The outcome for one file.

    Attributes
    ----------
    source, target : the files
    error : the error in one line; empty on success
    seconds : time for reading, filtering and writing
    exists : whether the file was skipped because the target exists and is not to be replaced
    """

    source: Path
    target: Path
    error: str
    seconds: float
    exists: bool = False


def image_files(paths: Iterable[str | os.PathLike[str]], suffix: str | None = None) -> Iterator[Path]:
    """Return the files among paths, and the image files in folders, sorted by name, without subfolders.

    Of files in folders, only those whose format can be written, unless another ``suffix`` is given.
    """
    known = set(READABLE) if suffix is not None else {*READABLE} & {*WRITABLE}
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.suffix.lower() in known and each.is_file())
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
    metadata: bool = True,
    quality: int | None = None,
    compression: str | int | None = None,
    subsampling: str | None = None,
    suffix: str | None = None,
    **params: Any,
) -> list[Done]:
    """Run a filter over image files and save the results under the same names in a folder.

    An error in one file is reported, and the other files are still processed.

    Parameters
    ----------
    paths : files, and folders whose image files are processed
    filter : a filter, its name, the result of `chain`, or a plain function of an image that calls filters. A filter or
        a chain processes all pages of a file; files of several pages are an error for a plain function
    out : output folder; created if missing
    jobs : number of files processed in parallel, by default one per processor
    overwrite : whether to replace existing files
    progress : called with the `Done` of each file, in order
    max_pixels, max_bytes : limits of the files, as for `open_image`
    metadata : whether the results keep the files' metadata, if their format supports it
    quality, compression, subsampling : as for `save_image`; an error for files whose format does not have them
    suffix : suffix of the results, such as ".png", which selects the format; by default that of each file. With it,
        files in folders may also have read-only formats. If several results would have one name, all but the first are
        errors
    **params : parameters of the filter

    Returns
    -------
    list of Done : source, target, error, seconds and exists of each file, in order

    Raises
    ------
    OSError : the folder cannot be created
    TypeError, ValueError : ``filter`` is not a filter, or ``suffix`` is not supported by `save_image`

    Warns
    -----
    MetadataWarning : metadata of a file were left out

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
    if suffix is not None and suffix not in WRITABLE:
        raise ValueError(f"suffix must be one of {', '.join(WRITABLE)}, got {suffix!r}")
    found = None if isinstance(filter, Chain) else filter_of(filter)
    used = chain((found.function, params)) if found is not None else filter
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    report = progress or (lambda _: None)
    limits = {"max_pixels": max_pixels, "max_bytes": max_bytes}
    given = {} if found is not None else params
    saving = {"quality": quality, "compression": compression, "subsampling": subsampling}
    work = partial(_one_file, used, given, limits, overwrite, metadata, saving)
    done = []
    with Pool(running=jobs) as pool:
        for each in stream(_with_targets(paths, folder, suffix), work, pool=pool):
            report(each)
            done.append(each)
    return done


def _with_targets(
    paths: Iterable[str | os.PathLike[str]], folder: Path, suffix: str | None
) -> Iterator[tuple[Path, Path, str]]:
    """Return each file with its target, and an error if an earlier file has the same target."""
    taken: dict[Path, Path] = {}
    for source in image_files(paths, suffix):
        target = folder / (source.name if suffix is None else source.stem + suffix)
        first = taken.setdefault(target, source)
        yield source, target, "" if first is source else f"{first} is also saved as {target.name}"


def _one_file(
    filter: Any,
    params: dict[str, Any],
    limits: dict[str, Any],
    overwrite: bool,
    keeping: bool,
    saving: dict[str, Any],
    file: tuple[Path, Path, str],
) -> Done:
    source, target, error = file
    start = time.perf_counter()
    exists = False
    if not error:
        try:
            _check(source, target, saving)
            exists = target.exists() and not overwrite
            if exists:
                raise ValueError(f"{target} already exists")
            image, is_stack, has_alpha, found, left_out = open_pages(source, **limits, metadata=keeping)
            warn_left_out(source, left_out, "not read:")
            if is_stack and not isinstance(filter, Chain):
                raise ValueError("the file has several pages, which a plain function does not support")
            if isinstance(filter, Chain):
                _check_result(filter, image, target, is_stack, has_alpha)
                params = {**params, "alpha": has_alpha or None}
            result, axes = filter.of_pages(image, **params) if is_stack else (filter(image, **params), None)
            save_image(target, result, axes=axes, metadata=found, **saving)
        except (GpuimgError, OSError, TypeError, ValueError, MemoryError) as raised:
            error = one_line(raised).removeprefix(f"{source}: ")
    return Done(source, target, error, time.perf_counter() - start, exists)


def _check(source: Path, target: Path, saving: dict[str, Any]) -> None:
    check_target(target, **saving)
    if target.exists() and target.samefile(source):
        raise ValueError("the result would replace its own source")


def _check_result(chain: Chain, image: Any, target: Path, is_stack: bool, has_alpha: bool) -> None:
    """Raise, before computing, if the target's format cannot hold the result of a chain."""
    *_, (entry, made) = planned_steps(chain, image, is_stack=is_stack, has_alpha=has_alpha)
    if len(made) != 1:
        raise ValueError(f"{entry.name} returns {len(made) or 'no'} image{'s' if made else ''}; a file holds one")
    axes = axes_of_pages(len(made[0].shape)) if is_stack else None
    check_fits(target, made[0].shape, made[0].dtype, conversion(made[0].dtype), axes=axes)
