"""The filters' parameters as JSON Schema, with bounds for clients, and the OpenAPI document."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import numpy as np

import gpuimg
from gpuimg import typing
from gpuimg.filters import all_filters
from gpuimg.filters.exposure import RANGES
from gpuimg.images import BOOL, DTYPES
from gpuimg.jobs.texts import parameters
from gpuimg.registry import Filter, arguments
from gpuimg.run import planned_results
from gpuimg.service.limits import SERVED
from gpuimg.service.problems import MEDIA_TYPE, Problem

Schema = dict[str, Any]

MOST_TABLE = 1 << 16  # entries of a lookup table
LONGEST_SIDE = 65535

# Bounds by a parameter's name, and the range of its slider: (minimum, maximum), (first, last, step).
BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("sigma", "radius", "low_sigma", "high_sigma"), (0, 200)),
    **dict.fromkeys(("sigma_color", "sigma_spatial"), (1e-3, 1e5)),
    "denoise_nl_means.sigma": (0, 1e5),
    "patch_size": (2, 127),
    "patch_distance": (0, 64),
    "truncate": (0, 16),
    **dict.fromkeys(("size", "footprint", "window", "block_size", "window_size"), (1, 255)),
    "percentile": (-100, 100),
    "kernel_size": (1, LONGEST_SIDE),
    "clip_limit": (0, 1),
    **dict.fromkeys(("bins", "nbins"), (1, 65536)),
    "classes": (2, 16),
    "output_shape": (1, LONGEST_SIDE),
    **dict.fromkeys(("pad_width", "crop_width"), (0, LONGEST_SIDE)),
    "scale": (1e-3, 1e3),
    **dict.fromkeys(("downscale", "upscale"), (1, 1e3)),
    "k": (-1e6, 1e6),
}
SLIDERS: dict[str, tuple[float, float, float]] = {
    **dict.fromkeys(("sigma", "radius", "low_sigma", "high_sigma"), (0.1, 20, 0.1)),
    "sigma_color": (1, 100, 1),
    "sigma_spatial": (0.5, 10, 0.5),
    "window": (1, 31, 2),
    "truncate": (1, 8, 0.5),
    **dict.fromkeys(("size", "footprint", "block_size", "window_size"), (1, 31, 2)),
    "percentile": (0, 100, 1),
    "kernel_size": (8, 512, 1),
    "clip_limit": (0, 0.1, 0.001),
    **dict.fromkeys(("downscale", "upscale"), (1.1, 8, 0.1)),
    "gamma": (0.1, 5, 0.05),
    "gain": (0, 4, 0.05),
    "amount": (0, 5, 0.1),
    "alpha": (0, 1, 0.01),
    **dict.fromkeys(("bins", "nbins"), (2, 1024, 1)),
    "classes": (2, 8, 1),
    "connectivity": (1, 2, 1),
    "angle": (-180, 180, 1),
}

NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
STRING: Schema = {"type": "string"}
NULL: Schema = {"type": "null"}


def _list_of(items: Schema, low: int, high: int) -> Schema:
    return {"type": "array", "items": items, "minItems": low, "maxItems": high}


def _one_or_two(each: Schema) -> Schema:
    return {"anyOf": [each, _list_of(each, 2, 2)]}


def _enum(values: Any) -> Schema:
    return {"enum": list(values)}


COLOR: Schema = {"anyOf": [STRING, _list_of(NUMBER, 3, 3)]}
MASK = _list_of(_list_of({"enum": [0, 1, True, False]}, 1, 255), 1, 255)
PAIR = _list_of(NUMBER, 2, 2)
PAIR_OF_INTEGERS = _list_of(INTEGER, 2, 2)
DTYPE_NAMES = tuple([dtype.name for dtype in (BOOL, *DTYPES)])

# Key: annotation, as in the source.
KINDS: dict[str, Schema] = {
    "float": NUMBER,
    "float | None": {"anyOf": [NUMBER, NULL]},
    "int": INTEGER,
    "int | None": {"anyOf": [INTEGER, NULL]},
    "bool": BOOLEAN,
    "bool | None": {"anyOf": [BOOLEAN, NULL]},
    "bool | int | tuple[int, int]": {"anyOf": [BOOLEAN, INTEGER, _list_of(INTEGER, 2, 2)]},
    "Mode": _enum(get_args(typing.Mode)),
    "MorphologyMode": _enum(get_args(typing.MorphologyMode)),
    "BoundaryMode": _enum(get_args(typing.BoundaryMode)),
    "OverlayKind": _enum(get_args(typing.OverlayKind)),
    "Method": _enum(get_args(typing.Method)),
    "SkeletonMethod": _enum(get_args(typing.SkeletonMethod)),
    "LocalMethod": _enum(get_args(typing.LocalMethod)),
    "NanPolicy": _enum(get_args(typing.NanPolicy)),
    "Order": _enum(get_args(typing.Order)),
    "GridOrder": _enum(get_args(typing.GridOrder)),
    "Color | None": {"anyOf": [*COLOR["anyOf"], NULL]},
    "Sequence[Color] | None": {"anyOf": [_list_of(COLOR, 1, 256), NULL]},
    "Size": _one_or_two(INTEGER),
    "Widths": {"anyOf": [INTEGER, PAIR_OF_INTEGERS, _list_of(PAIR_OF_INTEGERS, 2, 2)]},
    "Size | None": {"anyOf": [INTEGER, _list_of(INTEGER, 2, 2), NULL]},
    "float | tuple[float, float]": _one_or_two(NUMBER),
    "Sigma": _one_or_two(NUMBER),
    "Sigma | None": {"anyOf": [NUMBER, _list_of(NUMBER, 2, 2), NULL]},
    "FootprintLike": {"anyOf": [INTEGER, _list_of(INTEGER, 2, 2), MASK]},
    "WeightsLike": _list_of(_list_of(NUMBER, 1, 255), 1, 255),
    "MatrixLike": _list_of(_list_of(NUMBER, 3, 3), 3, 3),
    "DTypeLike": _enum(DTYPE_NAMES),
    "DTypeLike | None": {"anyOf": [_enum(tuple(map(str, DTYPES))), NULL]},
    "ImageLike | float": NUMBER,
    "ArrayLike": _list_of(NUMBER, 1, MOST_TABLE),
    "int | tuple[int, ...]": {"anyOf": [INTEGER, _list_of(INTEGER, 1, 2)]},
    "tuple[int, ...]": _list_of(INTEGER, 2, 3),
    "tuple[int, ...] | None": {"anyOf": [_list_of(INTEGER, 2, 3), NULL]},
    "tuple[float, float] | None": {"anyOf": [PAIR, NULL]},
    "Intensities": {"anyOf": [_enum(RANGES), PAIR]},
    "Literal['rec709', 'rec601'] | Sequence[float]": {"anyOf": [_enum(("rec709", "rec601")), _list_of(NUMBER, 3, 3)]},
}


def _bounded(schema: Schema, bounds: tuple[float, float]) -> Schema:
    """Add a minimum and a maximum to the numbers of a schema."""
    low, high = bounds
    if schema.get("type") in ("integer", "number"):
        return {**schema, "minimum": low, "maximum": high}
    if "anyOf" in schema:
        return {"anyOf": [_bounded(each, bounds) for each in schema["anyOf"]]}
    if schema.get("type") == "array":
        return {**schema, "items": _bounded(schema["items"], bounds)}
    return schema


def parameter_schema(entry: Filter, parameter: inspect.Parameter) -> Schema:
    """Return the schema of a parameter."""
    schema = dict(KINDS[str(parameter.annotation)])
    bounds = BOUNDS.get(f"{entry.name}.{parameter.name}", BOUNDS.get(parameter.name))
    if bounds is not None:
        schema = _bounded(schema, bounds)
    if parameter.default not in (parameter.empty, math.inf):  # JSON has no infinity
        schema["default"] = parameter.default
    if parameter.name in SLIDERS:
        first, last, step = SLIDERS[parameter.name]
        schema["x-slider"] = {"minimum": first, "maximum": last, "step": step}
    return schema


@cache
def filter_schema(name: str) -> Schema:
    """Return the description of a filter for `GET /v1/filters`."""
    entry = all_filters()[name]
    known = parameters(entry)
    text = (inspect.getdoc(entry.function) or "").strip()
    return {
        "name": name,
        "family": entry.family,
        "summary": text.partition("\n\n")[0].replace("\n", " "),
        "color": entry.color,
        "dtypes": [dtype.name for dtype in entry.dtypes],
        "usable": not entry.images and _images_made(entry) < 2,
        "parameters": {
            "type": "object",
            "properties": {
                key: parameter_schema(entry, each) for key, each in known.items() if key not in entry.images
            },
            "required": [key for key, each in known.items() if each.default is each.empty],
            "additionalProperties": False,
        },
    }


def _images_made(entry: Filter) -> int:
    """Return the number of images that a filter returns."""
    image = np.ones((8, 8, 3) if entry.color else (8, 8), entry.dtypes[0])
    return len(planned_results(entry.function, image, arguments(entry.examples[0], image)))


def all_schemas() -> list[Schema]:
    return [filter_schema(name) for name in all_filters()]


def check_step(name: str, params: Mapping[str, Any]) -> None:
    """Raise a `Problem` if a step's parameters do not match the schema."""
    entry = all_filters()[name]
    if entry.images:
        raise Problem(422, f"{name} takes a second image, which a request cannot hold", parameter=f"f={name}")
    properties = filter_schema(name)["parameters"]["properties"]
    for key, value in params.items():
        schema = properties[key]
        if not _fits(value, schema):
            rule = _rule(schema)
            detail = f"{name}: {key} must be {rule}, got {_shown(value)}"
            raise Problem(422, detail, filter=name, parameter=key, rule=rule, value=_shown(value))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fits(value: Any, schema: Schema) -> bool:
    if "anyOf" in schema:
        return any(_fits(value, each) for each in schema["anyOf"])
    if "enum" in schema:
        return any(value == each and isinstance(value, type(each)) for each in schema["enum"])
    kind = schema["type"]
    if kind == "array":
        is_list = isinstance(value, list | tuple) and schema["minItems"] <= len(value) <= schema["maxItems"]
        return is_list and all(_fits(each, schema["items"]) for each in value)
    if kind in ("integer", "number"):
        wanted = int if kind == "integer" else int | float
        is_number = isinstance(value, wanted) and not isinstance(value, bool)
        return is_number and schema.get("minimum", -float("inf")) <= value <= schema.get("maximum", float("inf"))
    return value is None if kind == "null" else isinstance(value, bool)


def _rule(schema: Schema) -> str:
    """Describe a schema in words."""
    if "anyOf" in schema:
        return " or ".join(map(_rule, schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema["type"] == "array":
        low, high = schema["minItems"], schema["maxItems"]
        count = str(low) if low == high else f"{low} to {high}"
        return f"a list of {count}, each {_rule(schema['items'])}"
    names = {"integer": "a whole number", "number": "a number", "null": "None", "boolean": "True or False"}
    words = names[schema["type"]]
    if "minimum" in schema:
        words += f" from {schema['minimum']:g} to {schema['maximum']:g}"
    return words


# OpenAPI -----------------------------------------------------------------------------------------------------------


def media_types() -> dict[str, str]:
    """Return the media types of the file formats, by name."""
    return {form.name: form.media_type for form in SERVED}


PROBLEM: Schema = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": STRING,
        "status": INTEGER,
        "detail": STRING,
        "filter": STRING,
        "step": INTEGER,
        "parameter": STRING,
        "rule": STRING,
        "value": {},
        "limit": STRING,
    },
}
BINARY: Schema = {"type": "string", "format": "binary"}
KEY: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


MISDIRECTED = "the Host header names another service"


def _answer(description: str, content: Schema) -> Schema:
    return {"description": description, "content": content}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _problems(**described: str) -> Schema:
    """Return the error responses, by status: ``_404="no such result"``."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code[1:]: _answer(words, content) for code, words in described.items()}


def _got(summary: str, schema: Schema, *, is_open: bool = False) -> Schema:
    """Return the description of a read-only path."""
    refused = _problems(_421=MISDIRECTED, **{} if is_open else {"_401": "no valid token"})
    operation = {
        "summary": summary,
        "responses": {"200": _answer(summary, _json(schema)), "400": _problems(_400="unknown query")["400"], **refused},
    }
    return {"get": {**operation, "security": []} if is_open else operation}


OBJECT: Schema = {"type": "object"}
RESULT_HEADERS: Schema = {
    "ETag": {"schema": STRING, "description": "names the result by its content"},
    "Content-Location": {"schema": STRING, "description": "URL of the result while it is cached"},
    "Server-Timing": {"schema": STRING, "description": "milliseconds of each part and filter, with its backend"},
    "Gpuimg-Cache": {"schema": _enum(("hit", "remote", "joined", "made"))},
}


def _apply() -> Schema:
    images = {media_type: {"schema": BINARY} for media_type in media_types().values()}
    return {
        "summary": "Run filters over an image",
        "description": (
            "The body is an image file (PNG, JPEG, TIFF or NPY, detected from its content). The filters run in the "
            "given order; without filters, the file is only converted. The answer has the first format of the Accept "
            "header that can hold the result, by default the body's. A result that is not an image is JSON."
        ),
        "parameters": [
            {
                "name": "f",
                "in": "query",
                "description": "a filter and its parameters, such as `gaussian:sigma=2,mode=nearest`; see /v1/filters",
                "schema": {"type": "array", "items": STRING},
                "style": "form",
                "explode": True,
            },
            {
                "name": "axes",
                "in": "query",
                "description": "axes of a stack in an NPY file, such as `NYX` or `TYXC`",
                "schema": {"type": "string", "pattern": "^[TZNYXC]{2,6}$"},
            },
            {"name": "If-None-Match", "in": "header", "schema": STRING},
        ],
        "requestBody": {"required": True, "content": images},
        "responses": {
            "200": {
                **_answer("the result", {**images, **_json({})}),
                "headers": RESULT_HEADERS,
            },
            **_problems(
                _400="the body is empty, or the request is not understood",
                _401="no valid token",
                _403="the Origin header names another site",
                _406="no accepted format can hold the result",
                _408="the body did not arrive in time",
                _412="If-None-Match names this result",
                _413="the body or its pixels are over a limit",
                _415="the body's format is not supported",
                _421=MISDIRECTED,
                _422="a filter, a parameter or the file is wrong",
                _500="the service failed at this request",
                _503="the service is busy or about to end",
                _504="the work took too long",
            ),
        },
    }


def _results() -> Schema:
    images = {media_type: {"schema": BINARY} for media_type in media_types().values()}
    return {
        "summary": "A cached result",
        "parameters": [
            {"name": "key", "in": "path", "required": True, "schema": KEY},
            {"name": "If-None-Match", "in": "header", "schema": STRING},
        ],
        "responses": {
            "200": _answer("the result", {**images, **_json({})}),
            "304": {"description": "the client has it"},
            **_problems(_400="unknown query", _401="no valid token", _404="it is not kept any more", _421=MISDIRECTED),
        },
    }


@cache
def openapi() -> Schema:
    """Return the interface as an OpenAPI 3.1 document."""
    ready = _got("Whether requests should be sent here", OBJECT, is_open=True)
    ready["get"]["responses"] |= _problems(_503="not warm yet, or about to end")
    numbers = _got("Numbers for Prometheus", {})
    numbers["get"]["responses"]["200"]["content"] = {"text/plain": {"schema": STRING}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gpuimg",
            "version": gpuimg.__version__,
            "description": "Image filters on all cores or a GPU, with the same pixels everywhere.",
        },
        "paths": {
            "/v1/apply": {"post": _apply()},
            "/v1/results/{key}": {"get": _results()},
            "/v1/filters": _got("All filters with their parameters as JSON Schema", OBJECT),
            "/v1/info": _got("Version, backends and limits", OBJECT),
            "/openapi.json": _got("This document", OBJECT),
            "/healthz": _got("Whether the process answers", OBJECT, is_open=True),
            "/readyz": ready,
            "/metrics": numbers,
        },
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }
