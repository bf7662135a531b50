// The length of a vector without intermediate overflow.
#pragma once
#include "numbers.cuh"

// Squares of numbers beyond these overflow or underflow: such numbers are first scaled by powers of two.
template <typename A>
struct Squares;
template <>
struct Squares<float> {
  static constexpr float large = 0x1p60f, small = 0x1p-45f, shrink = 0x1p-70f, grow = 0x1p100f;
};
template <>
struct Squares<double> {
  static constexpr double large = 0x1p500, small = 0x1p-450, shrink = 0x1p-600, grow = 0x1p600;
};

// root(a * a + b * b) * factor
template <typename A>
__device__ __forceinline__ A scaled_length(A a, A b, A factor) {
  typedef Squares<A> S;
  A squares = a * a + b * b;
  // Doubles are scaled branch-free, which takes fewer registers.
  if (sizeof(A) == 8 || !(squares >= S::small * S::small && squares <= S::large * S::large)) {
    const A one = a < A(0) ? -a : a, other = b < A(0) ? -b : b, greater = one > other ? one : other;
    const bool is_large = greater > S::large, is_small = greater < S::small;
    const A scale = is_large ? S::shrink : is_small ? S::grow : A(1);
    factor *= is_large ? A(1) / S::shrink : is_small ? A(1) / S::grow : A(1);
    a *= scale;
    b *= scale;
    squares = a * a + b * b;
  }
  return root(squares) * factor;
}
