// launch: flat, bytes 32
// instances: threshold<I, unsigned char, long long>; threshold<F, unsigned char, double>
#include "vectors.cuh"

// dst = src > value, or 1 everywhere if `always`. `value` has the image's dtype.
template <typename T, typename U, typename V>
__global__ void threshold(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, V value, long long always) {
  const T limit = T(value);
  const bool all = always != 0;
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols, [=](T v) { return U(v > limit || all); });
}
