// The four operations, by their numbers in arithmetic.py.
#pragma once
#include "vectors.cuh"

enum Operation : long long { ADD, SUBTRACT, MULTIPLY, DIVIDE };

// Computed in the accumulator of T; integers are rounded half to even and saturated, NaN as 0.
template <Operation OPERATION, typename T>
__device__ __forceinline__ T computed(Wide<T> a, Wide<T> b) {
  const Wide<T> v = OPERATION == ADD        ? a + b
                    : OPERATION == SUBTRACT ? a - b
                    : OPERATION == MULTIPLY ? a * b
                                            : a / b;
  if constexpr (Number<T>::whole)
    return rounded<T>(is_nan(v) ? Wide<T>(0) : v);
  else
    return v;
}
