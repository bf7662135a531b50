// launch: flat, bytes 32
// instances: convert<L, unsigned char>; convert<L, unsigned short>; convert<L, short>; convert<L, int>; convert<L, float>
// instances: convert<L, double>
#include "vectors.cuh"

// Conversion of values to another type, unscaled: floats are rounded half to even and saturated, NaN becomes 0.
template <typename T, typename U>
__global__ void convert(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom) {
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols, [](T v) {
    if constexpr (!Number<U>::whole)
      return U(v);
    else if constexpr (Number<T>::whole)
      return saturated<U>(int(v));
    else if constexpr (sizeof(U) == 4)  // float cannot represent the maximum int
      return rounded<U>(double(is_nan(v) ? T(0) : v));
    else
      return rounded<U>(is_nan(v) ? T(0) : v);
  });
}
