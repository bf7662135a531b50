// Maxima and minima in which NaN loses.
#pragma once
#include "numbers.cuh"

// The maximum of two values; b if either is NaN.
template <typename T>
__device__ __forceinline__ T higher(T a, T b) {
  return a > b ? a : b;
}

// The minimum of two values; `value` if either is NaN.
template <typename T>
__device__ __forceinline__ T limited(T value, T limit) {
  return value > limit ? limit : value;
}

// The value, with 0.0 in place of -0.0: the result must not depend on which of two equal values is found first.
template <typename T>
__device__ __forceinline__ T unsigned_zero(T v) {
  if constexpr (Number<T>::whole)
    return v;
  else
    return v + T(0);
}
