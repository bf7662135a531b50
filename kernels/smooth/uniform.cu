// launch: tile 32x8, pixels 4x1
// instances: columns<I, int>; columns<T, double>; along<int, I>; along<double, T>; along_far<int, I>; along_far<double, T>
#include "borders.cuh"
#include "numbers.cuh"

// Sums down the columns for groups of n0 rows: backwards from the end of a group's first window to each of its rows, then
// forwards from there; each window is one of both (M. van Herk, "A fast algorithm for local minimum and maximum filters",
// Pattern Recognition Letters 13, 1992). Two loads for each element, whatever the window, and nothing is subtracted.
template <typename T, typename S>
__global__ void columns(const T* src, long long rows, long long cols, S* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, long long mode, double cval, long long n0) {
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= cols) return;
  const auto value = [=](long long row) {
    const long long r = fold(row, rows, mode);
    return r < 0 ? S(cval) : S(src[r * cols + x]);
  };
  // Groups begin at multiples of n0, wherever `top` is: the order of additions does not depend on it.
  for (long long first = (top / n0 + blockIdx.y) * n0; first < bottom; first += (long long)gridDim.y * n0) {
    const long long begin = first - n0 / 2, skip = max(top - first, 0ll), count = min(n0, bottom - first);
    S total = 0;
    for (long long i = n0 - 1; i >= skip; --i) {
      total += value(begin + i);
      if (i < count) dst[(first + i) * cols + x] = total;
    }
    total = 0;
    for (long long i = 1; i < count; ++i) {
      total += value(begin + n0 + i - 1);
      if (i >= skip) dst[(first + i) * cols + x] += total;
    }
  }
}

// A sum of whole numbers divided, rounded half to even as the exact quotient is: a half comes out of an IEEE division
// as a half. In float32 up to 2 ** 22, for all quotients that are no halves lie farther from one than its error.
template <typename T, typename S>
__device__ __forceinline__ T mean(S total, long long area, bool small) {
  if constexpr (!Number<T>::whole)
    return T(double(total) / double(area));
  else
    return small ? T(int(rint(float(total) / float(area)))) : T(int(rint(double(total) / double(area))));
}

// Sums along a row, put together from sums of 1, 2, 4, ... neighbours in shared memory: `span` elements at a time, of which
// those of the last window's neighbours are only read.
template <typename S, typename T>
__global__ void along(const S* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, long long step, long long mode, double cval, long long n0,
                      long long n1, long long small, long long span) {
  DYNAMIC_SHARED(S, shared);
  const long long halo = (n1 - 1) * step, width = span - halo, before = n1 / 2 * step, area = n0 * n1;
  const long long start = (long long)blockIdx.x * width, wanted = min(width, cols - start);
  const S outside = S(cval) * S(n0);
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const S* const line = src + row * cols;
    S *now = shared, *next = shared + span, *total = shared + 2 * span;
    for (long long i = threadIdx.x; i < wanted + halo; i += blockDim.x) {
      const long long c = fold_element(start + i - before, cols, step, mode);
      now[i] = c < 0 ? outside : line[c];
      total[i] = 0;
    }
    __syncthreads();
    long long have = 0, reach = wanted + halo;
    for (long long size = 1; size <= n1; size *= 2) {
      if (n1 & size) {
        for (long long i = threadIdx.x; i < wanted; i += blockDim.x) {
          const S part = now[i + have * step];
          total[i] = have ? S(total[i] + part) : part;
        }
        have += size;
      }
      reach -= size * step;
      for (long long i = threadIdx.x; i < reach; i += blockDim.x) next[i] = now[i] + now[i + size * step];
      __syncthreads();
      S* const swapped = now;
      now = next;
      next = swapped;
    }
    for (long long i = threadIdx.x; i < wanted; i += blockDim.x)
      dst[row * cols + start + i] = mean<T>(total[i], area, small != 0);
    __syncthreads();
  }
}

// The same for windows wider than shared memory: groups of n1 pixels as in `columns`, one for each thread.
template <typename S, typename T>
__global__ void along_far(const S* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, long long mode, double cval, long long n0,
                          long long n1, long long small, S* sums, long long sums_rows, long long sums_cols) {
  const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const long long group = thread / step, channel = thread - group * step, width = cols / step, area = n0 * n1;
  const long long first = group * n1, begin = first - n1 / 2, count = min(n1, width - first);
  const S outside = S(cval) * S(n0);
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const auto value = [=](long long pixel) {
      const long long inside = fold(pixel, width, mode);
      return inside < 0 ? outside : src[row * cols + inside * step + channel];
    };
    S* const partial = sums + row * cols + first * step + channel;
    T* const mean_of = dst + row * cols + first * step + channel;
    S total = 0;
#pragma unroll 1
    for (long long i = count > 0 ? n1 - 1 : -1; i >= 0; --i) {
      total += value(begin + i);
      if (i < count) partial[i * step] = total;
    }
    total = 0;
#pragma unroll 1
    for (long long i = 0; i < count; ++i) {
      if (i > 0) total += value(begin + n1 + i - 1);
      mean_of[i * step] = mean<T>(S(partial[i * step] + total), area, small != 0);
    }
  }
}
