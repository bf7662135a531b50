"""The distance to the nearest zero, from the rows of the nearest zeros above and below each slab. Slabs are the parts.

Distances down the columns come first. Then, along a row, the squared distance of a pixel is the minimum over the
columns of the squared distance there plus the squared horizontal offset [1]: whole vectors try one offset after
another, while it is shorter than the maximum distance; pixels further away use the lower envelope of parabolas [2].

.. [1] T. Saito, J. Toriwaki, "New algorithms for Euclidean distance transformation of an n-dimensional digitized
   picture with applications", Pattern Recognition 27(11), 1994, 1551-1565.
.. [2] P. F. Felzenszwalb, D. P. Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8,
   2012, 415-428; here in integers.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuimg.kernels.distance_transform.zero_rows import NEVER
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.lanes import _splat
from gpuimg.kernels.lib.spans import smaller

BLOCK = 64
STEPS = 4  # offsets between two tests
LONGEST_WAY = 64
FAR = (1 << 15) - 1  # its square, and that of the longest offset, fit 32 bits


@kernel
def fill(src, dst, top, bottom, image, step, height):
    rows, width = image.shape
    cols = width // step
    down = np.empty((height, width), np.int32)
    blocks = (cols + BLOCK - 1) // BLOCK
    squares = np.empty(blocks * BLOCK + 2 * LONGEST_WAY, np.int32)
    squares[:] = FAR * FAR
    line, nearest = np.empty(cols, np.int32), np.empty(blocks * BLOCK, np.int32)
    hull, heights = np.empty(cols + 1, np.int64), np.empty(cols + 1, np.int64)
    distances = np.empty(cols, np.float32)
    far = np.zeros((step, blocks), np.bool_)
    for slab in range(top, bottom):
        first, last = slab * height, min((slab + 1) * height, rows)
        go_down(image[first:last], src[slab], down, first)
        for row in range(first, last):
            for channel in range(step):
                adjacent = down[row - first]
                out = dst[row]
                if step > 1:
                    adjacent, out = line, distances
                    for x in range(cols):
                        line[x] = down[row - first, x * step + channel]
                measure_row(adjacent, squares, nearest, far[channel], hull, heights, out)
                if step > 1:
                    for x in range(cols):
                        dst[row, x * step + channel] = distances[x]


@kernel
def go_down(image, beyond, down, first):
    """Distances to the nearest zero of each column."""
    rows, width = image.shape
    above, below = np.empty(width, np.int32), np.empty(width, np.int32)
    for x in range(width):
        above[x] = min(first - 1 - beyond[x], NEVER)
        below[x] = min(beyond[width + x] - (first + rows), NEVER)
    for row in range(rows):
        step_down(image[row], above if row == 0 else down[row - 1], down[row])
    for row in range(rows - 1, -1, -1):
        step_up(below if row == rows - 1 else down[row + 1], down[row])


@kernel
def step_down(line, above, out):
    for x in range(out.size):
        out[x] = np.int32(above[x] + np.int32(1)) & -np.int32(line[x] != 0)


@kernel
def step_up(below, out):
    for x in range(out.size):
        out[x] = smaller(np.int32(below[x] + np.int32(1)), out[x])


@kernel
def square(adjacent, squares):
    for x in range(adjacent.size):
        short = smaller(adjacent[x], np.int32(FAR))
        squares[x] = np.int32(short * short)


@kernel
def measure_row(adjacent, squares, nearest, far, hull, heights, out):
    """One row of distances. ``far`` has a flag per block: whether its pixels in the last row were far from zeros."""
    cols = adjacent.size
    square(adjacent, squares[LONGEST_WAY : LONGEST_WAY + cols])
    done = 0
    for block in range(far.size):
        start = block * BLOCK
        end = min(start + BLOCK, cols)
        if end <= done:
            continue
        if not far[block]:
            far[block] = not look_around(squares, start, nearest)
        if far[block]:
            begin, done = start, end
            while begin > 0 and adjacent[begin] != 0:
                begin -= 1
            while done < cols and adjacent[done - 1] != 0:
                done += 1
            envelope(adjacent, begin, done, hull, heights, out)
            far[block : (done - 1) // BLOCK + 1] = out[start:done].max() > LONGEST_WAY // 2
        else:
            roots(nearest[max(start, done) : end], out[max(start, done) : end])


@kernel
def roots(squares, out):
    for x in range(out.size):
        out[x] = np.sqrt(np.float32(squares[x]))


@kernel
def look_around(squares, start, nearest):
    """Write the minimum squared distances of a block if the longest offset suffices; returns whether it does."""
    most = begin_block(squares, LONGEST_WAY + start, nearest, start)
    way = 1
    while most > way * way and way < LONGEST_WAY:
        most = look_further(squares, LONGEST_WAY + start, nearest, start, way)
        way += STEPS
    return most <= way * way


@kernel
def envelope(adjacent, begin, end, hull, heights, out):
    """Distances in columns ``[begin, end)``, between zeros or the row's ends, by the lower envelope."""
    count = 0
    for x in range(begin, end):
        column = np.int64(adjacent[x])
        if column >= NEVER // 2:  # a column without zeros
            continue
        height = column * column + x * x
        while count > 1:
            one, two = hull[count - 2], hull[count - 1]
            if (heights[count - 1] - heights[count - 2]) * (x - two) < (height - heights[count - 1]) * (two - one):
                break
            count -= 1
        hull[count] = x
        heights[count] = height
        count += 1
    if count == 0:
        out[begin:end] = np.inf
        return
    place = 0
    for x in range(begin, end):
        here = heights[place] - 2 * x * hull[place]
        while place + 1 < count:
            further = heights[place + 1] - 2 * x * hull[place + 1]
            if further > here:
                break
            here = further
            place += 1
        out[x] = np.sqrt(np.float64(here + x * x))


def _block(context, builder, kind, array, at):
    """Load `BLOCK` elements of an array."""
    vector = ir.VectorType(context.get_data_type(kind.dtype), BLOCK)
    place = builder.gep(context.make_array(kind)(context, builder, array).data, [at])
    return builder.bitcast(place, vector.as_pointer())


def _maximum(builder, vector):
    name = f"llvm.vector.reduce.smax.v{BLOCK}i32"
    kind = ir.FunctionType(vector.type.element, [vector.type])
    return builder.sext(
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector]), ir.IntType(64)
    )


@intrinsic
def begin_block(_context, squares, at, nearest, to):
    """``nearest[to : to + BLOCK] = squares[at : at + BLOCK]``; returns their maximum."""

    def build(context, builder, signature, arguments):
        values, at, kept, to = arguments
        found = builder.load(_block(context, builder, squares, values, at), align=4)
        builder.store(found, _block(context, builder, nearest, kept, to), align=4)
        return _maximum(builder, found)

    return types.int64(squares, types.int64, nearest, types.int64), build


@intrinsic
def look_further(_context, squares, at, nearest, to, way):
    """Include `STEPS` offsets to both sides, from ``way`` on; returns the remaining maximum."""

    def build(context, builder, signature, arguments):
        values, at, kept, to, way = arguments
        target = _block(context, builder, nearest, kept, to)
        best = builder.load(target, align=4)
        for number in range(STEPS):
            far = builder.add(way, way.type(number))
            here, there = (
                builder.load(_block(context, builder, squares, values, place), align=4)
                for place in (builder.sub(at, far), builder.add(at, far))
            )
            nearer = builder.select(builder.icmp_signed("<", here, there), here, there)
            added = builder.trunc(builder.mul(far, far), ir.IntType(32))
            nearer = builder.add(nearer, _splat(builder, added, BLOCK))
            best = builder.select(builder.icmp_signed("<", nearer, best), nearer, best)
        builder.store(best, target, align=4)
        return _maximum(builder, best)

    return types.int64(squares, types.int64, nearest, types.int64, types.int64), build
