// Numbers: a pixel type's accumulator and limits, and saturated rounding half to even. The host compiles without
// contraction to FMA, so that sums equal the CPU's bit for bit.
#pragma once

#ifndef DYNAMIC_SHARED
// Shared memory whose size the launch gives: DYNAMIC_SHARED(float, taps);
#define DYNAMIC_SHARED(T, name)                               \
  extern __shared__ __align__(16) unsigned char name##_raw[]; \
  T* const name = reinterpret_cast<T*>(name##_raw)
#endif

template <typename T>
struct Number;
template <>
struct Number<unsigned char> {
  typedef float Wide;
  typedef int Exact;  // holds differences
  static constexpr int low = 0, high = 255;
  static constexpr bool whole = true;
};
template <>
struct Number<unsigned short> {
  typedef float Wide;
  typedef int Exact;
  static constexpr int low = 0, high = 65535;
  static constexpr bool whole = true;
};
template <>
struct Number<short> {
  typedef float Wide;
  typedef int Exact;
  static constexpr int low = -32768, high = 32767;
  static constexpr bool whole = true;
};
template <>
struct Number<int> {
  typedef double Wide;
  typedef long long Exact;
  static constexpr int low = -2147483647 - 1, high = 2147483647;
  static constexpr bool whole = true;
};
template <>
struct Number<float> {
  typedef float Wide;
  static constexpr bool whole = false;
};
template <>
struct Number<double> {
  typedef double Wide;
  static constexpr bool whole = false;
};

// The accumulator of sums of T: double for double and int, float for all others.
template <typename T>
using Wide = typename Number<T>::Wide;

template <typename A, typename B>
struct SameType {
  static constexpr bool value = false;
};
template <typename A>
struct SameType<A, A> {
  static constexpr bool value = true;
};

template <typename A>
constexpr A EPSILON = sizeof(A) < 8 ? A(1.1920928955078125e-07) : A(2.220446049250313e-16);
template <typename A>
constexpr A LARGEST = 3.4028234663852886e38f;
template <>
constexpr double LARGEST<double> = 1.7976931348623157e308;

// The floating-point mean, or the window's centre value if the two differ by no more than rounding, so that the mean of
// a constant is the constant. `tolerance` is relative.
template <typename A>
__device__ __forceinline__ A constant_kept(A mean, A centre, A tolerance) {
  return fabs(mean - centre) <= tolerance * fabs(centre) ? centre : mean;
}

// The square root in the type of its argument, even where plain sqrt exists for double only.
__device__ __forceinline__ float root(float v) { return sqrtf(v); }
__device__ __forceinline__ double root(double v) { return sqrt(v); }

// The square root of an integer held in a float: the compiler's correctly rounded sequence for numbers that are neither
// zero nor denormal, without the test for those; zero stays zero.
__device__ __forceinline__ float root_of_whole(float v) {
#if defined(__CUDA_ARCH__)
  float inverse;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(fmaxf(v, 1.0f)));
  const float found = v * inverse;
  return __fmaf_rn(__fmaf_rn(-found, found, v), inverse * 0.5f, found);
#else
  return sqrtf(v);
#endif
}

// The product; 0 for a weight of 0, even if the value is NaN or infinite.
template <typename A>
__device__ __forceinline__ A weighed(A v, A weight) {
  return weight != A(0) ? v * weight : weight;
}

template <typename T>
__device__ __forceinline__ bool is_nan(T v) {
  return v != v;
}

template <typename T>
__device__ __forceinline__ T saturated(long long v) {
  return T(v < Number<T>::low ? Number<T>::low : v > Number<T>::high ? Number<T>::high : v);
}

template <typename T>
__device__ __forceinline__ T saturated(int v) {
  return T(v < Number<T>::low ? Number<T>::low : v > Number<T>::high ? Number<T>::high : v);
}

// Load a value as V. Short integers come as int directly from the load: the compiler would mask them again. Not for
// conditional loads, which the compiler may make unconditional.
template <typename V, typename T>
__device__ __forceinline__ V load_as(const T* p) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) < 4 && SameType<V, int>::value) {
    int v;
    if constexpr (sizeof(T) == 1)
      asm("ld.global.nc.u8 %0, [%1];" : "=r"(v) : "l"(p));
    else if constexpr (T(-1) < T(0))
      asm("ld.global.nc.s16 %0, [%1];" : "=r"(v) : "l"(p));
    else
      asm("ld.global.nc.u16 %0, [%1];" : "=r"(v) : "l"(p));
    return v;
  }
#endif
  return V(__ldg(p));
}

// Convert a sum to a pixel: integers are rounded half to even and saturated.
template <typename T, typename A>
__device__ __forceinline__ T rounded(A v) {
  if constexpr (Number<T>::whole) {
    const A low = A(Number<T>::low), high = A(Number<T>::high);
    return T(int(rint(v < low ? low : v > high ? high : v)));
  } else {
    return T(v);
  }
}

// A value divided by its type's maximum; at least -1. Floats are unchanged.
template <typename A, typename T>
__device__ __forceinline__ A share(T v) {
  if constexpr (!Number<T>::whole) {
    return A(v);
  } else {
    const A scaled = A(v) * A(1.0 / Number<T>::high);
    return Number<T>::low < 0 && scaled < A(-1) ? A(-1) : scaled;
  }
}
