// Border modes of all CUDA kernels. The host defines MODE_REFLECT, MODE_NEAREST, MODE_MIRROR, MODE_WRAP and
// MODE_CONSTANT as in gpuimg.images.MODES.
#pragma once

// Fold `index`, however far away, into [0, length) by the border mode; -1 for the constant.
__device__ __forceinline__ long long fold(long long index, long long length, long long mode) {
  if (index >= 0 && index < length) return index;
  if (mode == MODE_CONSTANT) return -1;
  if (mode == MODE_NEAREST || length == 1) return index < 0 ? 0 : length - 1;
  const long long period = mode == MODE_WRAP ? length : mode == MODE_MIRROR ? 2 * length - 2 : 2 * length;
  if (index < 0 || index >= period) {
    index %= period;
    if (index < 0) index += period;
  }
  if (index < length) return index;
  return mode == MODE_MIRROR ? period - index : period - 1 - index;
}

// The same for an element of a flat row of `cols` elements, `step` per pixel.
__device__ __forceinline__ long long fold_element(long long x, long long cols, long long step, long long mode) {
  if (x >= 0 && x < cols) return x;
  const long long pixel = x >= 0 ? x / step : -((-x + step - 1) / step);
  const long long inside = fold(pixel, cols / step, mode);
  return inside < 0 ? -1 : inside * step + (x - pixel * step);
}

// Where a row begins, in elements; for the constant, ~ of where the nearest row begins, which can be loaded from, while
// other rows of an image may not be present.
__device__ __forceinline__ long long begin_of(long long row, long long rows, long long cols, long long mode) {
  const long long inside = fold(row, rows, mode);
  return inside < 0 ? ~((row < 0 ? 0 : rows - 1) * cols) : inside * cols;
}
__device__ __forceinline__ long long present(long long begin) { return begin < 0 ? ~begin : begin; }

// The value at (row, x) of an image of flat rows, which may be beyond its edge.
template <typename T>
__device__ __forceinline__ T at(const T* src, long long rows, long long cols, long long row, long long x, long long step,
                                long long mode, double cval) {
  const long long r = fold(row, rows, mode), c = fold_element(x, cols, step, mode);
  return r < 0 || c < 0 ? T(cval) : src[r * cols + c];
}
