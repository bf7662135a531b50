// A percentile of a window, ignoring NaN; see nan_rank.py.
#pragma once
#include "borders.cuh"
#include "keys.cuh"
#include "numbers.cuh"

// The number of a window with `rank` others before it, found bit by bit, as in median.cu.
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

template <typename T>
__device__ T percentile_of_numbers(const T* src, long long rows, long long cols, long long row, long long x,
                                   long long step, long long mode, double cval, long long n0, long long n1,
                                   double percentile, long long halves) {
  const auto value = [=](long long i, long long j) {
    return at(src, rows, cols, row + i - n0 / 2, x + (j - n1 / 2) * step, step, mode, cval);
  };
  long long numbers = 0;
#pragma unroll 1
  for (long long i = 0; i < n0; ++i)
#pragma unroll 1
    for (long long j = 0; j < n1; ++j) numbers += !is_nan(value(i, j));
  if (numbers == 0) return T(__int_as_float(0x7fc00000));
  const long long place = (long long)(double(numbers) * percentile / 100.0);
  const T found = number_at<T>(n0, n1, place < numbers ? place : numbers - 1, value);
  if (!halves || numbers % 2) return found;
  const T before = number_at<T>(n0, n1, place - 1, value);
  return before == found ? found : before * T(0.5) + found * T(0.5);
}
