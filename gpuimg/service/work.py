"""The work of one request, without HTTP: decode an image file, run a chain of filters, encode the result; in a pool."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple, cast

from gpuimg import stopping
from gpuimg.errors import ImageFileError, one_line
from gpuimg.files import Format, ImageFile, ImageMetadata, Written, axes_of_pages, check_fits, write_image
from gpuimg.images import check_axes
from gpuimg.jobs.chains import Chain, chain, has_alpha_still, known_arguments
from gpuimg.jobs.texts import plain, read_step
from gpuimg.memory import nbytes_of
from gpuimg.plans.value import Value
from gpuimg.registry import Filter
from gpuimg.run import planned_results
from gpuimg.service.bodies import Body, Encoded
from gpuimg.service.cache import Answer
from gpuimg.service.limits import SERVED, Limits
from gpuimg.service.problems import Problem, busy, over
from gpuimg.service.schema import check_step

JSON = "application/json"


class StepTime(NamedTuple):
    """A filter that ran: its name, the backend and the seconds."""

    name: str
    backend: str
    seconds: float


class Made(NamedTuple):
    """An answer and its costs.

    Attributes
    ----------
    seconds : seconds of ``decode``, ``compute`` and ``encode``
    steps : the filters that ran
    pixels : number of pixels of the image, all pages together
    """

    answer: Answer
    seconds: dict[str, float]
    steps: list[StepTime]
    pixels: int


# Parsing of requests -----------------------------------------------------------------------------------------------


def read_chain(texts: Sequence[str], most: int) -> Chain | None:
    """Parse the chain of a request; None without filters."""
    if len(texts) > most:
        raise over("steps", most, len(texts), "filters", status=422, parameter="f")
    try:
        steps = [_read_checked(number, text) for number, text in enumerate(texts)]
        return chain(*steps) if steps else None
    except (TypeError, ValueError) as error:
        raise Problem(422, one_line(error), parameter="f") from error


def _read_checked(number: int, text: str) -> tuple[str, dict[str, Any]]:
    with _at_step(number):
        name, params = read_step(text)
        check_step(name, params)
    return name, params


@contextmanager
def _at_step(number: int) -> Iterator[None]:
    """Add to problems the step that they concern."""
    try:
        yield
    except Problem as problem:
        problem.members["step"] = number
        raise
    except ValueError as error:
        raise Problem(422, one_line(error), parameter="f", step=number) from error


def read_accept(header: str) -> list[Format | None]:
    """Parse the formats of an Accept header, in order of preference; None is the format of the request's image.

    Raises
    ------
    Problem : none of them can be written
    """
    wanted = []
    for position, part in enumerate((header or "*/*").split(",")):
        media_type, *settings = [each.strip() for each in part.split(";")]
        quality = _quality(settings)
        if quality > 0:
            wanted.append((-quality, position, media_type.lower()))
    formats: list[Format | None] = []
    for _, _, media_type in sorted(wanted):
        if media_type in ("*/*", "image/*"):
            formats.append(None)
        formats += [form for form in SERVED if form.media_type == media_type]
    if not formats and JSON not in [media_type for _, _, media_type in wanted]:
        known = ", ".join([form.media_type for form in SERVED])
        raise Problem(
            406, f"the result is available as {known}", parameter="Accept", rule=f"one of {known}", value=header
        )
    return formats


def read_axes(given: Sequence[str]) -> str:
    """Parse the axes of an NPY file, such as "NYX"; "" if not given."""
    if not given:
        return ""
    rule = "letters out of T, Z, N, Y, X and C, each once, with Y and X among them"
    axes = given[0]
    if len(given) > 1 or len(set(axes)) < len(axes) or not {"Y", "X"} <= set(axes) <= set("TZNYXC"):
        raise Problem(422, f"axes must be {rule}, got {axes[:80]!r}", parameter="axes", rule=rule, value=axes[:80])
    return axes


def _quality(settings: Sequence[str]) -> float:
    for setting in settings:
        name, _, value = setting.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


# Before the work ---------------------------------------------------------------------------------------------------


HEADER_READS = 100_000  # enough for a header of thousands of segments; more would only keep a thread busy


class Room:
    """A limit on the bytes of pixels of jobs in several threads together; a single job may exceed it."""

    def __init__(self, nbytes: int) -> None:
        self._most = nbytes
        self._held: dict[object, int] = {}
        self._changed = threading.Condition()

    @contextmanager
    def entered(self, nbytes: int) -> Iterator[Callable[[int], None]]:
        """Reserve bytes, as soon as there is room; yield a function that changes their number, or raises."""
        work = object()
        with self._changed:
            while not self._has_room(work, nbytes):
                self._changed.wait(stopping.PATIENCE)
                stopping.look()
            self._held[work] = nbytes
        try:
            yield partial(self._hold, work)
        finally:
            with self._changed:
                del self._held[work]
                self._changed.notify_all()

    def _hold(self, work: object, nbytes: int) -> None:
        with self._changed:
            if not self._has_room(work, nbytes):  # waiting while holding bytes might deadlock
                raise busy("other requests use all the memory for images")
            self._held[work] = nbytes
            self._changed.notify_all()

    def _has_room(self, work: object, nbytes: int) -> bool:
        others = sum([held for other, held in self._held.items() if other is not work])
        return not others or others + nbytes <= self._most


class Request:
    """An image file, with its header read, and the filters to run.

    Attributes
    ----------
    nbytes : bytes of the decoded pixels, by which a pool limits its queue
    room : the limit shared with other requests
    """

    def __init__(
        self, body: Body, chain: Chain | None, formats: Sequence[Format | None], axes: str, limits: Limits, room: Room
    ):
        self.chain = chain
        self.axes = axes
        self.limits = limits
        body.reads = HEADER_READS
        with _file_problems():
            self.image = ImageFile(
                cast(BinaryIO, body),
                "the request's body",
                max_pixels=limits.pixels,
                max_bytes=limits.decoded_bytes,
                formats=SERVED,
            )
        body.reads = None
        if self.image.format.name not in limits.formats:
            allowed = ", ".join(limits.formats)
            raise Problem(415, f"{self.image.format.name} files are not read here", rule=f"one of {allowed}")
        self.nbytes = self.image.nbytes
        self.room = room
        self.formats = formats


@contextmanager
def _file_problems() -> Iterator[None]:
    try:
        yield
    except ImageFileError as error:
        detail = one_line(error).partition(";")[0]  # the rest is for Python callers
        status = 413 if "over the limit" in detail else 415 if ": not a " in detail else 422
        raise Problem(status, detail) from error


# The work ----------------------------------------------------------------------------------------------------------


def perform(request: Request) -> Made:
    """Decode, filter, encode.

    Raises
    ------
    Problem : the file is damaged, a filter does not take the image, a limit is exceeded, no format holds the result
    """
    with request.room.entered(request.nbytes) as hold:
        return _perform(request, hold)


def _perform(request: Request, hold: Callable[[int], None]) -> Made:
    clock = _Clock()
    with _file_problems():
        image = request.image.decode()
    clock.lap("decode")
    axes = request.axes or (axes_of_pages(image.ndim) if request.image.is_stack else "")
    if axes:
        _check_axes(axes, image.shape)
    pixels = image.size // _sides(image.shape, axes).get("C", 1)
    steps: list[StepTime] = []
    has_alpha = request.image.has_alpha
    for number, (entry, params) in enumerate(request.chain.steps if request.chain else ()):
        given = known_arguments(entry, params, alpha=has_alpha or None, axes=axes)
        with _at_step(number), _step_problems(entry):
            made = _checked_result(entry, image, given, request.limits)
            hold(image.nbytes + sum([nbytes_of(value.shape, value.dtype) for value in made]))
            start = time.perf_counter()
            before, image = image, entry.function(image, **given)
        steps.append(StepTime(entry.name, _backend(), time.perf_counter() - start))
        if not made:
            return _as_json(request, number, entry, image, clock, steps, pixels)
        has_alpha = has_alpha and has_alpha_still(before, image, axes)
        if image.ndim < len(axes):
            axes = axes.replace("C", "")
    clock.lap("compute")
    form = _format_for(request, image, axes)
    written = Encoded()
    write_image(written, form, image, axes=axes or None, how=Written(_kept(request.image.metadata)))
    clock.lap("encode")
    return Made(Answer(written.getvalue(), form.media_type), clock.seconds, steps, pixels)


def _kept(metadata: ImageMetadata) -> ImageMetadata:
    """Return the metadata for an answer: colour profile and resolution, but nothing about person, place or device."""
    return ImageMetadata(icc_profile=metadata.icc_profile, resolution=metadata.resolution)


def encoded(image: Any, name: str) -> bytes:
    """Encode an image in a file format: "PNG", "JPEG", "TIFF", "NPY"."""
    written = BytesIO()
    write_image(written, next(form for form in SERVED if form.name == name), image)
    return written.getvalue()


def _check_axes(axes: str, shape: tuple[int, ...]) -> None:
    """Raise if an image does not have the axes."""
    try:
        check_axes(axes, shape, name="the image")
    except (TypeError, ValueError) as error:
        raise Problem(422, one_line(error), parameter="axes", value=axes) from error


class _Clock:
    """Measures the seconds of the parts of a job."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] = now - self._last
        self._last = now


def _backend() -> str:
    """Return the backend of the last filter."""
    watch = stopping.watch()
    return watch.where if watch is not None else ""


@contextmanager
def _step_problems(entry: Filter) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise Problem(422, f"{entry.name}: {one_line(error)}", filter=entry.name) from error


def _checked_result(entry: Filter, image: Any, params: dict[str, Any], limits: Limits) -> tuple[Value, ...]:
    """Check the result of a step before computing it; return the image, () for numbers."""
    made = planned_results(entry.function, image, params)
    if len(made) > 1:
        raise Problem(422, f"{entry.name} makes {len(made)} images, and an answer holds one", filter=entry.name)
    for value in made:
        _check_value(entry, value, params.get("axes", ""), limits)
    return made


def _sides(shape: tuple[int, ...], axes: str) -> dict[str, int]:
    """Return the extents of an image or a stack by the letters of their axes."""
    letters = axes or "YXC"
    return dict(zip(letters if len(letters) <= len(shape) else letters.replace("C", ""), shape, strict=False))


def _check_value(entry: Filter, value: Value, axes: str, limits: Limits) -> None:
    nbytes = nbytes_of(value.shape, value.dtype)
    if nbytes > limits.decoded_bytes:
        raise over("decoded_bytes", limits.decoded_bytes, nbytes, "bytes of pixels", status=422, filter=entry.name)
    sides = _sides(value.shape, axes)
    pixels = sides["Y"] * sides["X"]
    if pixels > limits.pixels:
        raise over("pixels", limits.pixels, pixels, "pixels", status=422, filter=entry.name)


def _as_json(
    request: Request, number: int, entry: Filter, result: Any, clock: _Clock, steps: list[StepTime], pixels: int
) -> Made:
    assert request.chain is not None
    if number < len(request.chain) - 1:
        detail = f"{entry.name} does not return an image, so it must be the last filter"
        raise Problem(422, detail, filter=entry.name, step=number)
    clock.lap("compute")
    body = json.dumps(plain(result), allow_nan=False).encode()
    clock.lap("encode")
    return Made(Answer(body, JSON), clock.seconds, steps, pixels)


def _format_for(request: Request, image: Any, axes: str) -> Format:
    """Return the first requested format that can hold an image."""
    own = request.image.format
    reasons = []
    for wanted in request.formats:
        # If the client accepts any format, TIFF holds images that others cannot.
        for form in [wanted] if wanted is not None else [own, *SERVED[1:2], *SERVED[:1]]:
            misfit = _misfit(form, request, image, axes)
            if misfit is None:
                return form
            reasons.append(misfit)
    why = "; ".join(dict.fromkeys(reasons)) or "only application/json is accepted, and the result is an image"
    holders = [form.media_type for form in SERVED if _misfit(form, request, image, axes) is None]
    raise Problem(
        406,
        f"the result is {image.dtype} of shape {image.shape}: {why}",
        parameter="Accept",
        rule=f"one of {', '.join(holders)}" if holders else "none holds it",
        dtype=image.dtype.name,
        shape=list(image.shape),
    )


def _misfit(form: Format, request: Request, image: Any, axes: str) -> str | None:
    """Return why a format cannot hold a result; None if it can."""
    if form.name not in request.limits.formats:
        return f"{form.name} files are not written here"
    try:
        check_fits(f"the result{form.suffixes[0]}", image.shape, image.dtype, axes=axes or None)
    except (TypeError, ValueError) as error:
        return one_line(error).partition(": ")[2].partition(";")[0]
    return None
