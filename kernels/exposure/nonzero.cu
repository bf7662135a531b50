// launch: flat, bytes 32
// instances: nonzero<L, unsigned char>
#include "vectors.cuh"

// dst = src != 0, true for NaN.
template <typename T, typename U>
__global__ void nonzero(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom) {
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols, [](T v) { return U(v != T(0)); });
}
