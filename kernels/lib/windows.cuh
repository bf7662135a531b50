// Windows that move down the columns of an image: a thread keeps a strip's values in registers.
#pragma once
#include "borders.cuh"
#include "numbers.cuh"

// `fold` by repeated reflection: for indices near the image, where divisions would take longer.
__device__ __forceinline__ long long fold_near(long long index, long long length, long long mode) {
#pragma unroll 1
  while (index < 0 || index >= length) {
    const bool before = index < 0;
    if (mode == MODE_CONSTANT) return -1;
    if (mode == MODE_NEAREST || length == 1) return before ? 0 : length - 1;
    if (mode == MODE_WRAP)
      index += before ? length : -length;
    else
      index = (mode == MODE_REFLECT ? before ? -1 : 2 * length - 1 : before ? 0 : 2 * length - 2) - index;
  }
  return index;
}

// Rows of fewer elements have a 32-bit pitch.
constexpr long long WIDEST = 1 << 28;

// Advance by `count` rows, `pitch` bytes apart: one instruction.
template <typename T>
__device__ __forceinline__ T* rows_below(T* p, unsigned int count, unsigned int pitch) {
  return reinterpret_cast<T*>(reinterpret_cast<unsigned long long>(p) + (unsigned long long)count * pitch);
}

// The start and the height of a thread's strip of up to ROWS rows of `dst`.
template <int ROWS>
struct Strip {
  long long row, x;
  int count;
  __device__ Strip(long long top, long long bottom) {
    x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    row = top + ((long long)blockIdx.y * blockDim.y + threadIdx.y) * ROWS;
    const long long left = bottom - row;
    count = left < ROWS ? int(left) : ROWS;
  }
};

// Calls fill(at, window) for all elements of a strip inside the image, all rows at once: common terms of windows are
// computed once, and no load waits for the one before. STEP: the distance of pixels; 0 if known only at run time,
// `step`.
template <int STEP, typename V, int ROWS, typename T, typename Fill>
__device__ __forceinline__ void inner_windows(const T* src, long long cols, const Strip<ROWS>& strip, long long step,
                                              Fill fill) {
  const long long at = strip.row * cols + strip.x, apart = STEP ? STEP : step;
  const T* const first = src + (at - cols - apart);
  const unsigned int pitch = (unsigned int)cols * sizeof(T);
  V v[ROWS + 2][3];
#pragma unroll
  for (int i = 0; i < ROWS + 2; ++i)
#pragma unroll
    for (int j = 0; j < 3; ++j) v[i][j] = load_as<V>(rows_below(first, i, pitch) + j * apart);
#pragma unroll
  for (int i = 0; i < ROWS; ++i) {
    const V window[3][3] = {{v[i][0], v[i][1], v[i][2]},
                            {v[i + 1][0], v[i + 1][1], v[i + 1][2]},
                            {v[i + 2][0], v[i + 2][1], v[i + 2][2]}};
    fill(at + i * cols, window);
  }
}

// Calls fill(at, window) for all elements of the thread's strip, with their windows of 3x3 values as V.
template <typename V, int ROWS, typename T, typename Fill>
__device__ __forceinline__ void each_window(const T* src, long long rows, long long cols, long long top,
                                            long long bottom, long long step, long long mode, double cval, Fill fill) {
  const Strip<ROWS> strip(top, bottom);
  if (strip.x >= cols || strip.count <= 0) return;
  if (strip.row > 0 && strip.row + ROWS < rows && strip.count == ROWS && strip.x >= step && strip.x + step < cols &&
      cols < WIDEST) {
    if (step == 1)
      inner_windows<1, V>(src, cols, strip, step, fill);
    else
      inner_windows<0, V>(src, cols, strip, step, fill);
    return;
  }
  const long long pixel = strip.x / step, channel = strip.x - pixel * step;
  long long column[3];
#pragma unroll
  for (int j = 0; j < 3; ++j) {
    const long long folded = fold_near(pixel + j - 1, cols / step, mode);
    column[j] = folded < 0 ? -1 : folded * step + channel;
  }
  V window[3][3];
  const V outside = V(T(cval));
#pragma unroll 1
  for (int i = -2; i < strip.count; ++i) {
    const long long r = fold_near(strip.row + i + 1, rows, mode);
    const T* const line = src + r * cols;
#pragma unroll
    for (int j = 0; j < 3; ++j) {
      window[0][j] = window[1][j];
      window[1][j] = window[2][j];
      window[2][j] = r < 0 || column[j] < 0 ? outside : V(__ldg(line + column[j]));
    }
    if (i >= 0) fill((strip.row + i) * cols + strip.x, window);
  }
}
