// launch: flat, bytes 32
// instances: invert<T, T>
#include "vectors.cuh"

// max - v for unsigned integers, -1 - v for signed ones, 1 - v for floats; v ^ 1 for bool (if masked is 1).
template <typename T, typename U>
__global__ void invert(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                       long long top, long long bottom, long long masked) {
  src += top * cols;
  dst += top * cols;
  const long long count = (bottom - top) * cols;
  if constexpr (Number<T>::whole) {
    const int flipped = masked == 1 ? 1 : -1;
    map_elements(src, dst, count, [=](T v) { return T(v ^ flipped); });
  } else {
    map_elements(src, dst, count, [](T v) { return T(1) - v; });
  }
}
