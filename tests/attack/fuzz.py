"""Random calls of all filters on images, and into results, that end right before a page that must not be touched.

``python -m tests.attack.fuzz --seconds 600 --seed 1``; an access beyond an array ends the process.
"""

import argparse
import ctypes
import faulthandler
import math
import mmap
import time

import numpy as np

import gpuimg
from gpuimg.registry import arguments
from tests.conftest import parts

PAGE = mmap.PAGESIZE
PROT_NONE, PROT_READ, PROT_BOTH = 0, 1, 3
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Guarded:
    """Memory of some pages between two that must not be touched."""

    def __init__(self, nbytes):
        self._pages = max(1, -(-nbytes // PAGE)) * PAGE
        self._map = mmap.mmap(-1, self._pages + 2 * PAGE)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._protect(self._start, PAGE, PROT_NONE)
        self._protect(self._start + PAGE + self._pages, PAGE, PROT_NONE)

    def array(self, shape, dtype, at_end=True):
        """An array at the end of the memory, or at its beginning."""
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        offset = PAGE + (self._pages - nbytes if at_end else 0)
        return np.frombuffer(self._map, dtype, math.prod(shape), offset).reshape(shape)

    def seal(self):
        """Allow no writing any more."""
        self._protect(self._start + PAGE, self._pages, PROT_READ)

    def open(self):
        self._protect(self._start + PAGE, self._pages, PROT_BOTH)

    def _protect(self, address, nbytes, kind):
        if _libc.mprotect(address, nbytes, kind):
            raise OSError(ctypes.get_errno(), "mprotect failed")


def pixels(rng, shape, dtype):
    """Noise, or values at the ends of the dtype's range."""
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind not in "fc":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    values = rng.normal(0, 1, shape) * 10.0 ** rng.choice([0, 0, -310, 30, -42, 307])
    special = rng.random(shape) < rng.choice([0, 0.1])
    values[special] = rng.choice([np.nan, np.inf, -np.inf, 0], int(special.sum()))
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def guarded_like(result, at_end):
    """Memory for a result, or for each of several."""
    if isinstance(result, tuple):
        return tuple([guarded_like(part, at_end) for part in result])
    return Guarded(result.nbytes).array(result.shape, result.dtype, at_end)


def one_call(rng, name, backends=("single", "multicore")):
    """Call a filter with a random image; it may refuse, but must neither crash nor depend on where the image lies."""
    found = gpuimg.FILTERS[name]
    dtype = np.dtype(rng.choice([dtype.str for dtype in found.dtypes]))
    shape = tuple(int(rng.choice([1, 2, 3, 5, 16, 31, 64, 65, 130])) for _ in range(2))
    if found.color:
        shape = (*shape, 3)
    elif rng.random() < 0.3:
        shape = (*shape, int(rng.integers(1, 5)))
    plain = pixels(rng, shape, dtype)
    with np.errstate(all="ignore"):
        given = arguments(found.examples[int(rng.integers(len(found.examples)))], plain)
    backend, at_end = str(rng.choice(backends)), bool(rng.random() < 0.7)
    source = Guarded(plain.nbytes)
    image = source.array(shape, dtype, at_end)
    image[...] = plain
    source.seal()
    try:
        with np.errstate(all="ignore"):
            expected = found.function(plain, backend=backend, **given)
            result = found.function(image, backend=backend, **given)
            if all(getattr(part, "ndim", 0) > 1 for part in parts(expected)):
                targets = guarded_like(expected, at_end)
                found.function(image, backend=backend, out=targets, **given)
                np.testing.assert_equal(targets, expected, err_msg=name)
    except (ValueError, TypeError):
        return
    np.testing.assert_equal(result, expected, err_msg=name)


def main():
    """Run until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--calls", type=int, default=1 << 60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    faulthandler.enable()
    rng = np.random.default_rng(given.seed)
    names = sorted(gpuimg.FILTERS)
    end, count = time.monotonic() + given.seconds, 0
    while time.monotonic() < end and count < given.calls:
        name = names[count % len(names)]
        try:
            one_call(rng, name)
        except BaseException:
            print(f"call {count} of seed {given.seed}: {name}", flush=True)
            raise
        count += 1
    print(f"{count} calls")


if __name__ == "__main__":
    main()
