"""Steps of a chain as strings, such as ``gaussian:sigma=2,mode=nearest``, for the command line and the service.

Values are numbers, words, quoted strings, None, True, False, and tuples and lists of them; a footprint may be
``disk(3)``, ``square(3)`` or ``diamond(3)``. An image is the name of its file, quoted if it contains a space, a comma,
an equals sign, a bracket or a quote. Nothing is evaluated or opened. Any string is read in time proportional to its
length, or rejected with a one-line error.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from gpuimg.errors import shown
from gpuimg.filters import all_filters, filter_named
from gpuimg.footprints import diamond, disk, square
from gpuimg.registry import Filter

NOT_PARAMETERS = ("axes", "alpha", "backend", "out")  # of a filter, but not of a step: set by the caller of the chain
MAX_TEXT = 20_000  # characters
MAX_NUMBER = 40  # characters
MAX_DEPTH = 8  # brackets within brackets
MAX_REACH = 49  # of a named footprint, so that its pixels fit a step that can be read

FOOTPRINTS = {"disk": disk, "square": square, "diamond": diamond}

CLOSING = {"(": ")", "[": "]"}
CONSTANTS = {"None": None, "True": True, "False": False, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}
TOKEN = re.compile(r"""('(?:[^'\\\0]|\\[^\0])*'|"(?:[^"\\\0]|\\[^\0])*"|[()\[\],=]|[^\s()\[\],='"\0]+)\s*""")
NUMBER_WORDS = (["nan"], ["inf"])  # also where a parameter has that name
WRITTEN_NUMBER = re.compile(r"[-+]?(0[xX][\da-fA-F_]*|0[oObB][\d_]*|[\d_]*(\.[\d_]*)?([eE][-+]?[\d_]*)?)", re.ASCII)
# Annotations, with bars between several.
TAKES_ONE = {"int", "float", "bool", "None", "ImageLike", "Order", "GridOrder"}
KINDS = "must be a number, a word, None, True, False or a tuple or list of them"


def read_step(text: str) -> tuple[str, dict[str, Any]]:
    """Parse a step.

    Parameters
    ----------
    text : a filter's name, followed by a colon and its parameters, ``name=value``, separated by commas. Values without
        names come first and are assigned to the filter's parameters in order, as in Python: ``clip:50,200`` is
        ``clip:min=50,max=200``. A parameter of several numbers takes the numbers that follow: ``resize:480,640`` is
        ``resize:output_shape=(480,640)``. In a quoted string, a backslash escapes a quote or another backslash

    Returns
    -------
    The filter's name and its parameters, as for `gpuimg.chain`. Images are returned as file names

    Raises
    ------
    ValueError : names the filter, the parameter and what is allowed. The values are not checked further

    Examples
    --------
    >>> read_step("gaussian:sigma=(1, 2.5),mode=nearest")
    ('gaussian', {'sigma': (1, 2.5), 'mode': 'nearest'})
    >>> read_step("resize:480,640,order=0")
    ('resize', {'output_shape': (480, 640), 'order': 0})
    >>> read_step("clip:50,200")
    ('clip', {'min': 50, 'max': 200})
    >>> read_step("subtract:other=two.png")
    ('subtract', {'other': 'two.png'})
    >>> read_step("erosion:footprint=disk(1)")
    ('erosion', {'footprint': ((0, 1, 0), (1, 1, 1), (0, 1, 0))})
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"a step must have at most {MAX_TEXT} characters, got {len(text)}: {shown(text)}")
    return _read(text)


def write_step(name: str, params: Mapping[str, Any]) -> str:
    """Format a step for `read_step`, without defaults, with parameters in the order of the signature.

    Parameters
    ----------
    name : name of a filter
    params : parameters of the filter; arrays are written as lists

    Returns
    -------
    str : the normalised step

    Raises
    ------
    ValueError : a value, such as an image, cannot be written

    Examples
    --------
    >>> write_step("gaussian", {"mode": "wrap", "sigma": 2.0, "cval": 0})
    'gaussian:sigma=2,mode=wrap'
    """
    entry = filter_named(name)
    _check_names(entry, params)
    written = [
        f"{key}={text}"
        for key, parameter in parameters(entry).items()
        if key in params and (text := _written(entry, parameter, params[key])) != _default(entry, parameter)
    ]
    text = ":".join([name, ",".join(written)] if written else [name])
    _read(text)
    return text


def parameters(entry: Filter) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a step: the function's, without the image and those in `NOT_PARAMETERS`."""
    return _parameters(entry.function)


@cache
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    signature = list(inspect.signature(function).parameters.values())[1:]
    # The weight of `blend` has the name of an argument that other filters use for alpha channels.
    kept = [each for each in signature if each.name not in NOT_PARAMETERS or each.kind != each.KEYWORD_ONLY]
    return MappingProxyType({each.name: each for each in kept})


def _check_names(entry: Filter, params: Mapping[str, Any]) -> None:
    known = parameters(entry)
    allowed = f"it takes {', '.join(known)}" if known else "it takes none"
    for name in params:
        if name not in known:
            raise ValueError(f"{entry.name} has no parameter {shown(name)}; {allowed}{_taken_by(entry, name)}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in params:
            raise ValueError(f"{entry.name} needs {name!r}; {allowed}")


def _taken_by(entry: Filter, name: str) -> str:
    """Suggest the filter of the same family that takes a parameter, if there is only one: rescale for scale."""
    family = [each for each in all_filters().values() if each.family == entry.family]
    takers = [each.name for each in family if name in parameters(each)]
    return f"; {takers[0]} takes {name}" if len(takers) == 1 else ""


_OR_NAMED = f"; a footprint may also be {', '.join(FOOTPRINTS)}, as in disk(3)"

# Reading -----------------------------------------------------------------------------------------------------------


def _read(text: str) -> tuple[str, dict[str, Any]]:
    name, _, arguments = text.partition(":")
    entry = filter_named(name.strip())
    try:
        pairs = _pairs(arguments, parameters(entry))
    except ValueError:
        written = "parameters are written name=value,name=value, each once"
        raise ValueError(f"{entry.name}: {written}, got {shown(arguments)}") from None
    _check_names(entry, pairs)
    params: dict[str, Any] = {}
    for key, tokens in pairs.items():
        is_named = key == "footprint" and tokens[0] in FOOTPRINTS
        try:
            is_file = key in (*entry.images, *entry.operands) and _is_file(tokens)
            params[key] = _named_footprint(tokens) if is_named else tokens[0] if is_file else _value(tokens)
        except ValueError as error:
            also = _OR_NAMED if key == "footprint" and not is_named else ""
            raise ValueError(f"{entry.name}: {key} {error}, got {shown(' '.join(tokens))}{also}") from None
    return entry.name, params


def _pairs(arguments: str, known: Mapping[str, inspect.Parameter]) -> dict[str, list[str]]:
    """Split tokens into parameters and their values; raise a `ValueError` if they are malformed."""
    pairs: dict[str, list[str]] = {}
    unnamed = [each for each in known.values() if each.kind != each.KEYWORD_ONLY] or list(known.values())[:1]
    key, is_whole = "", True
    for piece in _pieces(arguments):
        if not is_whole and _is_number(piece) and _is_number(pairs[key][-1:]):
            pairs[key] += [",", *piece]
            continue
        if unnamed and _is_alone(piece, known):
            parameter = unnamed.pop(0)
            key, value, is_whole = parameter.name, piece, _takes_one(parameter)
        else:
            key, equals, *value = piece
            unnamed, is_whole = [], False
            if equals != "=" or not value or not key.isidentifier():
                raise ValueError
        if key in pairs:
            raise ValueError
        pairs[key] = value
    return {key: _enclosed(value) for key, value in pairs.items()}


def _takes_one(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter takes at most one number, or an image."""
    return set(parameter.annotation.split(" | ")) <= TAKES_ONE


def _is_alone(piece: list[str], known: Mapping[str, inspect.Parameter]) -> bool:
    """Return whether a piece is a value without a name."""
    if not piece or "=" in piece or (piece[0] in known and piece not in NUMBER_WORDS):
        return False
    return len(piece) == 1 or piece[0] in CLOSING or piece[0] in FOOTPRINTS


def _is_number(piece: list[str]) -> bool:
    if len(piece) != 1 or (piece[0].isidentifier() and piece not in NUMBER_WORDS):
        return False
    try:
        return isinstance(_value(piece), int | float)
    except ValueError:
        return False


def _is_file(tokens: list[str]) -> bool:
    """Return whether the value of an image is an unquoted file name."""
    (token, *rest) = tokens
    return not (rest or token[0] in "([,=])'\"" or token in CONSTANTS or WRITTEN_NUMBER.fullmatch(token))


def _enclosed(value: list[str]) -> list[str]:
    """Enclose comma-separated numbers as a tuple."""
    return ["(", *value, ")"] if value[1:2] == [","] else value


def _pieces(arguments: str) -> list[list[str]]:
    """Split tokens at commas outside brackets."""
    pieces: list[list[str]] = [[]]
    closings: list[str] = []
    for token in _tokens(arguments.strip()):
        if token in CLOSING:
            closings.append(CLOSING[token])
        elif token in CLOSING.values() and (not closings or closings.pop() != token):
            raise ValueError
        if token == "," and not closings:
            pieces.append([])
        else:
            pieces[-1].append(token)
    if closings:
        raise ValueError
    return pieces if pieces[-1] else pieces[:-1]


def _tokens(text: str) -> Iterator[str]:
    end = 0
    while end < len(text):
        found = TOKEN.match(text, end)
        if found is None:
            raise ValueError
        end = found.end()
        yield found[1]


def _named_footprint(tokens: list[str]) -> tuple[tuple[int, ...], ...]:
    name, *rest = tokens
    reach = _value(rest) if rest else None
    if type(reach) is not int or not 1 <= reach <= MAX_REACH:
        raise ValueError(f"must be {name}(n) with a whole number n from 1 to {MAX_REACH}")
    return _footprint(name, reach)


@lru_cache(maxsize=64)
def _footprint(name: str, reach: int) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, FOOTPRINTS[name](reach).tolist()))


def _value(tokens: list[str]) -> Any:
    left = tokens[::-1]
    value = _next(left, 0)
    if left:
        raise ValueError(KINDS)
    return value


def _next(left: list[str], depth: int) -> Any:
    """Pop a value from the end of the remaining tokens, whose brackets are balanced."""
    token = left.pop()
    if token in CLOSING:
        return _sequence(left, CLOSING[token], depth + 1)
    if token[0] in "'\"":
        return re.sub(r"\\(['\"\\])", r"\1", token[1:-1])
    if token in CONSTANTS:
        return CONSTANTS[token]
    return token if token.isidentifier() else _number(token)


def _sequence(left: list[str], closing: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"must have at most {MAX_DEPTH} brackets within each other")
    items, is_tuple = [], False
    while left[-1] != closing:
        items.append(_next(left, depth))
        if left[-1] == ",":
            left.pop()
            is_tuple = True
        elif left[-1] != closing:
            raise ValueError(KINDS)
    left.pop()
    if closing == "]":
        return items
    return tuple(items) if is_tuple or not items else items[0]


def _number(token: str) -> int | float:
    if len(token) > MAX_NUMBER:
        raise ValueError(f"must have numbers of at most {MAX_NUMBER} characters")
    try:
        return int(token, 0)
    except ValueError:
        pass
    try:
        value = float(token)
    except ValueError:
        raise ValueError(KINDS) from None
    if not math.isfinite(value):
        raise ValueError("must have numbers that float64 holds")
    return value


# Writing -----------------------------------------------------------------------------------------------------------


def _default(entry: Filter, parameter: inspect.Parameter) -> str:
    return "" if parameter.default is parameter.empty else _written(entry, parameter, parameter.default)


def _written(entry: Filter, parameter: inspect.Parameter, value: Any) -> str:
    if entry.is_image(parameter.name, value) and not isinstance(value, str):
        raise ValueError(f"{entry.name}: {parameter.name} is an image, which cannot be written as text")
    # A type alias hides its floats, as annotations are strings here.
    takes_floats = any(word in parameter.annotation for word in ("float", "Sigma"))
    try:
        return _text_of(value, takes_floats)
    except TypeError:
        raise ValueError(f"{entry.name}: {parameter.name} {KINDS}, got {value!r}") from None


def _text_of(value: Any, takes_floats: bool) -> str:
    if isinstance(value, type | np.dtype):
        return np.dtype(value).name
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        items = ",".join([_text_of(item, takes_floats) for item in value])
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, str):
        is_word = value.isidentifier() and value not in CONSTANTS
        return value if is_word else "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"
    if isinstance(value, float):
        text = repr(value).replace("e+", "e")  # a plus is a space in a URL
        return text.removesuffix(".0") if takes_floats and text != "-0.0" else text
    if value is None or isinstance(value, bool | int):
        return str(value)
    raise TypeError


# Results that are not images -----------------------------------------------------------------------------------------


def plain(result: Any) -> Any:
    """Convert arrays and NumPy scalars to lists and numbers for JSON; NaN and infinities to None."""
    if hasattr(result, "_asdict"):
        return {name: plain(part) for name, part in result._asdict().items()}
    if isinstance(result, tuple | list):
        return [plain(part) for part in result]
    if hasattr(result, "tolist"):
        return plain(result.tolist())
    return None if isinstance(result, float) and not math.isfinite(result) else result
