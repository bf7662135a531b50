"""An image plus, minus, times or divided by a number: integers in float32, rounded half to even and saturated, NaN as
0."""

from gpuimg.kernels.exposure.arithmetic import ADD, MULTIPLY, SUBTRACT
from gpuimg.kernels.exposure.convert import converted
from gpuimg.kernels.lib.borders import kernel
from gpuimg.kernels.lib.numbers import widened


@kernel
def fill(src, dst, top, bottom, operation, number):
    second = widened(number, dst)
    for row in range(top, bottom):
        first, out = src[row], dst[row]
        if operation == ADD:
            for x in range(out.size):
                out[x] = converted(widened(first[x], out) + second, out)
        elif operation == SUBTRACT:
            for x in range(out.size):
                out[x] = converted(widened(first[x], out) - second, out)
        elif operation == MULTIPLY:
            for x in range(out.size):
                out[x] = converted(widened(first[x], out) * second, out)
        else:
            for x in range(out.size):
                out[x] = converted(widened(first[x], out) / second, out)
