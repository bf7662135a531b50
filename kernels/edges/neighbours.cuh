// Differences of an element's neighbours.
#pragma once
#include "lengths.cuh"
#include "numbers.cuh"
#include "windows.cuh"

// The accumulator of a window's values. Sums of integers of up to 16 bits, with weights of up to 64 in total, are exact
// in int as in float.
template <typename T, typename A, bool WHOLE = Number<T>::whole>
struct Sums {
  typedef int Type;
  // Adding 1.5 * 2**23 to the float's bits is faster than a conversion, and correct below 2**22.
  static __device__ __forceinline__ float result(int sum) { return __int_as_float(sum + 0x4b400000) - 12582912.0f; }
  static __device__ __forceinline__ float length(float a, float b, float factor) {
    return root_of_whole(a * a + b * b) * factor;
  }
};
template <typename T, typename A>
struct Sums<T, A, false> {
  typedef A Type;
  static __device__ __forceinline__ A result(A sum) { return sum; }
  static __device__ __forceinline__ A length(A a, A b, A factor) { return scaled_length(a, b, factor); }
};

// The differences of smoothed neighbours along axis 0 and axis 1.
template <typename T, typename A>
struct Slope {
  typedef Sums<T, A> Sum;
  typedef typename Sum::Type N;
  A down, along;

  __device__ __forceinline__ Slope(const N (&v)[3][3], N centre, N outer) {
    const auto smooth = [=](N before, N at, N after) { return (before + after) * outer + at * centre; };
    down = Sum::result(smooth(v[2][0], v[2][1], v[2][2]) - smooth(v[0][0], v[0][1], v[0][2]));
    if constexpr (Number<T>::whole) {
      along = Sum::result(smooth(v[0][2] - v[0][0], v[1][2] - v[1][0], v[2][2] - v[2][0]));
    } else {
      along = smooth(v[0][2], v[1][2], v[2][2]) - smooth(v[0][0], v[1][0], v[2][0]);
    }
  }
  __device__ __forceinline__ A length(A factor) const { return Sum::length(along, down, factor); }
};
