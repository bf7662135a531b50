// launch: flat, bytes 32
// instances: negate<F, F>
#include "vectors.cuh"

// The negated value; 0.0 for both zeros.
template <typename T, typename U>
__global__ void negate(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                       long long top, long long bottom) {
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols, [](T v) { return T(0) - v; });
}
