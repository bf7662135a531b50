// launch: tile 32x8, pixels 4x1
// instances: twentyfive<double, double>; slide<unsigned char>; search<L, L>
#include "borders.cuh"
#include "columns.cuh"
#include "keys.cuh"
#include "numbers.cuh"

template <typename T>
__device__ __forceinline__ void sort(T& a, T& b) {
  const T low = b < a ? b : a;
  b = b < a ? a : b;
  a = low;
}

// The value with `rank` others before it, in any window: the maximum with at most `rank` values below it. Its key is
// found bit by bit, with one pass over the window per bit that counts the values below.
template <typename T>
__device__ T searched(const T* src, long long rows, long long cols, long long row, long long x, long long step,
                      long long mode, double cval, long long n0, long long n1, long long rank) {
  typedef decltype(key_of(T(0))) Key;
  const auto value = [=](long long i, long long j) {
    return at(src, rows, cols, row + i - n0 / 2, x + (j - n1 / 2) * step, step, mode, cval);
  };
  Key found = 0;
  for (int bit = sizeof(T) * 8 - 1; bit >= 0; --bit) {
    const Key middle = found | Key(1) << bit;
    long long below = 0;
#pragma unroll 1
    for (long long i = 0; i < n0; ++i)
#pragma unroll 1
      for (long long j = 0; j < n1; ++j) {
        const T v = value(i, j);
        if (is_nan(v)) return v;
        below += key_of(v) < middle;
      }
    if (below <= rank) found = middle;
  }
  return value_of(found, T(0));
}

// The median of SIZE x SIZE values by forgetful selection: of slightly more than half of the values, the minimum and
// the maximum cannot be the median; another value replaces them, until three are left. (J. L. Smith, "Implementing
// median filters in XC4000E FPGAs", XCell 23, 1996.) All in registers.
template <int SIZE, typename T>
__device__ __forceinline__ T forgetful_median(const T* src, long long cols, long long step) {
  constexpr int AREA = SIZE * SIZE, HALF = SIZE / 2, HELD = AREA / 2 + 2;
  T held[HELD], nan = T(0);
  bool ordered = true;
  const auto value = [&](int k) {
    const int i = k / SIZE - HALF, j = k % SIZE - HALF;
    const T v = src[i * cols + j * step];
    if (is_nan(v)) {
      ordered = false;
      nan = v;
    }
    return v;
  };
#pragma unroll
  for (int k = 0; k < HELD; ++k) held[k] = value(k);
#pragma unroll
  for (int k = HELD; k <= AREA; ++k) {
    const int count = HELD - (k - HELD);
    // Of the remaining values, move the minimum to the front and the maximum to the end.
#pragma unroll
    for (int i = 1; i < HELD; ++i)
      if (i < count) sort(held[0], held[i]);
#pragma unroll
    for (int i = 1; i < HELD - 1; ++i)
      if (i < count - 1) sort(held[i], held[count - 1]);
    if (k < AREA) held[0] = value(k);
  }
  return ordered ? held[1] : nan;
}

// The few pixels at the border use the algorithm of large windows.
template <int SIZE, typename T>
__device__ __forceinline__ T median_of(const T* src, long long rows, long long cols, long long row, long long x,
                                       long long step, long long mode, double cval) {
  constexpr int HALF = SIZE / 2;
  const bool inside = row >= HALF && row + HALF < rows && x >= HALF * step && x + HALF * step < cols;
  if (inside) return forgetful_median<SIZE>(src + row * cols + x, cols, step);
  return searched(src, rows, cols, row, x, step, mode, cval, SIZE, SIZE, SIZE * SIZE / 2);
}

// For double only: the networks of `median_tiles` would need too many registers.
template <typename T, typename U>
__global__ void twentyfive(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                           long long top, long long bottom, long long step, long long mode, double cval) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    dst[row * cols + x] = median_of<5>(src, rows, cols, row, x, step, mode, cval);
  });
}

// uint8, any window: each thread moves down a column with a histogram of its window in shared memory, in 16 coarse and
// 256 fine bins; one row enters and one leaves, so the cost grows only with the window's width. (T. Huang, G. Yang, G.
// Tang, "A fast two-dimensional median filtering algorithm", IEEE Transactions on Acoustics, Speech, and Signal
// Processing 27, 1979.)
template <typename T>
__global__ void slide(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, long long step, long long mode, double cval, long long n0,
                      long long n1, long long rank, long long strip) {
  DYNAMIC_SHARED(int, bins);  // bin by bin, with threads interleaved, which avoids bank conflicts
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= cols) return;
  int* const fine = bins + threadIdx.x;
  int* const coarse = fine + 256 * blockDim.x;
  const int stride = blockDim.x;
  const auto count = [=](long long row, int by) {
    const long long r = fold(row, rows, mode);
    for (long long j = 0; j < n1; ++j) {
      const long long c = fold_element(x + (j - n1 / 2) * step, cols, step, mode);
      const int v = r < 0 || c < 0 ? int(cval) : int(src[r * cols + c]);
      fine[v * stride] += by;
      coarse[(v >> 4) * stride] += by;
    }
  };
  for (long long first = top + blockIdx.y * strip; first < bottom; first += gridDim.y * strip) {
    for (int bin = 0; bin < 256 + 16; ++bin) fine[bin * stride] = 0;
    for (long long i = 0; i < n0; ++i) count(first - n0 / 2 + i, 1);
    const long long last = min(first + strip, bottom);
    for (long long row = first; row < last; ++row) {
      long long left = rank;
      int bin = 0;
      // The limits guard against counts that are wrong because the image changes concurrently.
      for (; bin < 15 && left >= coarse[bin * stride]; ++bin) left -= coarse[bin * stride];
      for (bin *= 16; bin < 255 && left >= fine[bin * stride]; ++bin) left -= fine[bin * stride];
      dst[row * cols + x] = T(bin);
      if (row + 1 < last) {
        count(row - n0 / 2, -1);
        count(row - n0 / 2 + n0, 1);
      }
    }
  }
}

template <typename T, typename U>
__global__ void search(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                       long long top, long long bottom, long long step, long long mode, double cval, long long n0,
                       long long n1, long long rank) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    dst[row * cols + x] = searched(src, rows, cols, row, x, step, mode, cval, n0, n1, rank);
  });
}
