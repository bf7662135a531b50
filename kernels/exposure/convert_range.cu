// launch: flat, bytes 32
// instances: convert_range<T, unsigned char>; convert_range<T, unsigned short>; convert_range<T, short>
// instances: convert_range<T, float>; convert_range<T, double>
#include "vectors.cuh"

// Conversion of values to another type, scaled from range to range: from 0, or from -1 in floats for short, to the
// maximum, which is 1 in floats.
template <typename T, typename U>
__device__ __forceinline__ U spread(T v) {
  if constexpr (!Number<U>::whole) {
    return share<U>(v);
  } else if constexpr (Number<T>::whole) {
    // No ties: the divisor is odd.
    constexpr unsigned given = Number<T>::high, wanted = Number<U>::high;
    return U(((v < 0 ? 0u : unsigned(v)) * wanted + given / 2) / given);
  } else {
    if (is_nan(v)) return U(0);
    if constexpr (Number<U>::low == 0) return rounded<U>(v * T(Number<U>::high));
    // As scikit-image: -1 becomes the minimum and 1 the maximum.
    constexpr T half_range = (T(Number<U>::high) - T(Number<U>::low)) / T(2);
    return rounded<U>(v * half_range - T(0.5));
  }
}

template <typename T, typename U>
__global__ void convert_range(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                              long long dst_cols, long long top, long long bottom) {
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols, [](T v) { return spread<T, U>(v); });
}
