// launch: tile 32x8, pixels 4x1
// instances: columns<L, L>; along<L, L>; along_far<L, L>
#include "borders.cuh"
#include "numbers.cuh"

// The minimum, or with `greatest` the maximum, of two values; NaN if either is.
template <typename T>
__device__ __forceinline__ T taken(T a, T b, bool greatest) {
  if (is_nan(a)) return a;
  return is_nan(b) || (greatest ? b > a : b < a) ? b : a;
}

// The minima down the columns, from `above` rows over each on, for groups of n0 rows: backwards from the end of a group's first window to each of its
// rows, then forwards from there; each window is one of both (M. van Herk, "A fast algorithm for local minimum and maximum
// filters", Pattern Recognition Letters 13, 1992). Two loads for each element, whatever the window.
template <typename T, typename U>
__global__ void columns(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, long long mode, double cval, long long n0, long long above,
                        long long flip) {
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= cols) return;
  const bool greatest = flip != 0;
  const auto value = [=](long long row) {
    const long long r = fold(row, rows, mode);
    return r < 0 ? T(cval) : src[r * cols + x];
  };
  for (long long first = top + (long long)blockIdx.y * n0; first < bottom; first += (long long)gridDim.y * n0) {
    const long long begin = first - above, count = min(n0, bottom - first);
    T best = value(begin + n0 - 1);
    for (long long i = n0 - 1; i >= 0; --i) {
      best = taken(best, value(begin + i), greatest);
      if (i < count) dst[(first + i) * cols + x] = best;
    }
    if (count > 1) best = value(begin + n0);
    for (long long i = 1; i < count; ++i) {
      best = taken(best, value(begin + n0 + i - 1), greatest);
      dst[(first + i) * cols + x] = taken(T(dst[(first + i) * cols + x]), best, greatest);
    }
  }
}

// Along the rows: the minimum of 1, 2, 4, ... neighbours in shared memory, then of two such runs that cover the window.
// `span` elements at a time, of which those of the last window's neighbours are only read.
template <typename T, typename U>
__global__ void along(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, long long step, long long mode, double cval, long long n1,
                      long long left, long long flip, long long span) {
  DYNAMIC_SHARED(T, shared);
  const bool greatest = flip != 0;
  const long long halo = (n1 - 1) * step, width = span - halo, before = left * step;
  const long long start = (long long)blockIdx.x * width, wanted = min(width, cols - start);
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const T* const line = src + row * cols;
    T *now = shared, *next = shared + span;
    for (long long i = threadIdx.x; i < wanted + halo; i += blockDim.x) {
      const long long c = fold_element(start + i - before, cols, step, mode);
      now[i] = c < 0 ? T(cval) : line[c];
    }
    __syncthreads();
    long long size = 1, reach = wanted + halo;
    for (; 2 * size <= n1; size *= 2) {
      reach -= size * step;
      for (long long i = threadIdx.x; i < reach; i += blockDim.x) next[i] = taken(now[i], now[i + size * step], greatest);
      __syncthreads();
      T* const swapped = now;
      now = next;
      next = swapped;
    }
    for (long long i = threadIdx.x; i < wanted; i += blockDim.x)
      dst[row * cols + start + i] = taken(now[i], now[i + (n1 - size) * step], greatest);
    __syncthreads();
  }
}

// The same for windows wider than shared memory: groups of n1 pixels as in `columns`, one for each thread.
template <typename T, typename U>
__global__ void along_far(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, long long mode, double cval, long long n1,
                          long long left, long long flip) {
  const bool greatest = flip != 0;
  const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const long long group = thread / step, channel = thread - group * step, width = cols / step;
  const long long first = group * n1, begin = first - left, count = min(n1, width - first);
  if (count <= 0) return;
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const auto value = [=](long long pixel) {
      const long long inside = fold(pixel, width, mode);
      return inside < 0 ? T(cval) : src[row * cols + inside * step + channel];
    };
    U* const out = dst + row * cols + first * step + channel;
    T best = value(begin + n1 - 1);
#pragma unroll 1
    for (long long i = n1 - 1; i >= 0; --i) {
      best = taken(best, value(begin + i), greatest);
      if (i < count) out[i * step] = best;
    }
    if (count > 1) best = value(begin + n1);
#pragma unroll 1
    for (long long i = 1; i < count; ++i) {
      best = taken(best, value(begin + n1 + i - 1), greatest);
      out[i * step] = taken(T(out[i * step]), best, greatest);
    }
  }
}
