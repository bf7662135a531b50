// Minima of the elements of words; the maximum is the minimum in reversed order, as on the CPU.
#pragma once
#include "strips.cuh"

// The minimum of two values; NaN if either is NaN.
template <typename T>
__device__ __forceinline__ T smaller(T a, T b) {
  if constexpr (SameType<T, float>::value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    float smaller;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(smaller) : "f"(a), "f"(b));
    return smaller;
#endif
  }
  if constexpr (Number<T>::whole)
    return min(a, b);
  else
    return a < b || is_nan(a) ? a : b;
}

// The bits to flip so that the order of all values is reversed, or none.
template <typename T>
__device__ __forceinline__ WordOf<T> turning(bool maximum) {
  typedef WordOf<T> W;
  const W all = Number<T>::whole ? ~W(0) : W(1) << (8 * sizeof(W) - 1);
  return maximum ? all : W(0);
}

// The elements of a word in the processor's types for comparison.
template <typename T>
struct Lanes {
  T v;
  __device__ static Lanes highest() {
    Lanes all;
    if constexpr (Number<T>::whole)
      all.v = Number<T>::high;
    else
      all.v = T(__uint_as_float(0x7f800000u));  // infinity
    return all;
  }
  __device__ Lanes() {}
  __device__ explicit Lanes(WordOf<T> word) : v(element_of<T>(word)) {}
  __device__ WordOf<T> word() const { return word_of(v); }
  __device__ void lower(const Lanes& other) { v = smaller(v, other.v); }
};
template <>
struct Lanes<unsigned short> {
  unsigned v;
  __device__ static Lanes highest() { return Lanes(~0u); }
  __device__ Lanes() {}
  __device__ explicit Lanes(unsigned word) : v(word) {}
  __device__ unsigned word() const { return v; }
  __device__ void lower(const Lanes& other) { v = __vminu2(v, other.v); }
};
template <>
struct Lanes<short> {
  unsigned v;
  __device__ static Lanes highest() { return Lanes(0x7fff7fffu); }
  __device__ Lanes() {}
  __device__ explicit Lanes(unsigned word) : v(word) {}
  __device__ unsigned word() const { return v; }
  __device__ void lower(const Lanes& other) { v = __vmins2(v, other.v); }
};
// Pairs of 16 bits, compared by the upper byte: the lower one only breaks ties.
template <>
struct Lanes<unsigned char> {
  unsigned odd, even;
  __device__ static Lanes highest() {
    Lanes all(~0u);
    all.even = ~0u;
    return all;
  }
  __device__ Lanes() {}
  __device__ explicit Lanes(unsigned word) : odd(word), even(word << 8) {}
  __device__ unsigned word() const { return __byte_perm(even, odd, 0x7351); }
  __device__ void lower(const Lanes& other) {
    odd = __vminu2(odd, other.odd);
    even = __vminu2(even, other.even);
  }
};

// Combine minima of `size` neighbours in a strip's row, `distance` elements apart, into minima of twice as many; done
// by a warp. Results whose neighbours are beyond the row's end are invalid.
template <typename T>
__device__ __forceinline__ void double_run(WordOf<T>* row, int distance) {
  constexpr int N = Words<T>::elements, CHUNKS = STRIP_WORDS / 32;
  const int lane = threadIdx.x % 32, last = STRIP_WORDS - 1 - (distance / N + (N > 1));
  Lanes<T> own[CHUNKS];
#pragma unroll
  for (int c = 0; c < CHUNKS; ++c) {
    own[c] = Lanes<T>(row[lane + 32 * c]);
    if (lane + 32 * c <= last) own[c].lower(Lanes<T>(strip_word<T>(row + lane + 32 * c, distance)));
  }
  __syncwarp();
#pragma unroll
  for (int c = 0; c < CHUNKS; ++c) row[lane + 32 * c] = own[c].word();
  __syncwarp();
}
