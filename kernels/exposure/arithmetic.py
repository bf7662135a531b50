"""Two images added, subtracted, multiplied or divided, value by value: integers in float32, rounded half to even and
saturated, NaN as 0."""

from gpuimg.kernels.exposure.convert import converted
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import widened

ADD, SUBTRACT, MULTIPLY, DIVIDE = range(4)  # as in arithmetic.cuh


@kernel
def fill(src, dst, top, bottom, operation, other):
    for row in range(top, bottom):
        first, second, out = src[row], other[row], dst[row]
        if operation == ADD:
            add(first, second, out)
        elif operation == SUBTRACT:
            subtract(first, second, out)
        elif operation == MULTIPLY:
            multiply(first, second, out)
        else:
            divide(first, second, out)


@kernel
def add(first, second, out):
    for x in range(out.size):
        out[x] = converted(widened(first[x], out) + widened(second[x], out), out)


@kernel
def subtract(first, second, out):
    for x in range(out.size):
        out[x] = converted(widened(first[x], out) - widened(second[x], out), out)


@kernel
def multiply(first, second, out):
    for x in range(out.size):
        out[x] = converted(widened(first[x], out) * widened(second[x], out), out)


@kernel
def divide(first, second, out):
    for x in range(out.size):
        out[x] = converted(widened(first[x], out) / widened(second[x], out), out)
