// launch: tile 32x8, pixels 4x1
// instances: nan_rank<F, F>
#include "borders.cuh"
#include "columns.cuh"
#include "keys.cuh"
#include "numbers.cuh"

// Of the numbers in a window the one with `rank` others before it, which is found bit by bit, as in median.cu.
template <typename T, typename Value>
__device__ T number_at(long long n0, long long n1, long long rank, Value value) {
  typedef decltype(key_of(T(0))) Key;
  Key found = 0;
  for (int bit = sizeof(T) * 8 - 1; bit >= 0; --bit) {
    const Key middle = found | Key(1) << bit;
    long long below = 0;
#pragma unroll 1
    for (long long i = 0; i < n0; ++i)
#pragma unroll 1
      for (long long j = 0; j < n1; ++j) {
        const T v = value(i, j);
        below += !is_nan(v) && key_of(v) < middle;
      }
    if (below <= rank) found = middle;
  }
  return value_of(found, T(0));
}

// A percentile of the numbers in a window, NaN left out; see nan_rank.py.
template <typename T, typename U>
__global__ void nan_rank(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                         long long top, long long bottom, long long step, long long mode, double cval, long long n0,
                         long long n1, double percentile, long long halves) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const auto value = [=](long long i, long long j) {
      return at(src, rows, cols, row + i - n0 / 2, x + (j - n1 / 2) * step, step, mode, cval);
    };
    long long numbers = 0;
#pragma unroll 1
    for (long long i = 0; i < n0; ++i)
#pragma unroll 1
      for (long long j = 0; j < n1; ++j) numbers += !is_nan(value(i, j));
    T found = T(__int_as_float(0x7fc00000));
    if (numbers > 0) {
      const long long place = (long long)(double(numbers) * percentile / 100.0);
      found = number_at<T>(n0, n1, place < numbers ? place : numbers - 1, value);
      if (halves && numbers % 2 == 0) {
        const T before = number_at<T>(n0, n1, place - 1, value);
        found = before == found ? found : before * T(0.5) + found * T(0.5);
      }
    }
    dst[row * cols + x] = found;
  });
}
