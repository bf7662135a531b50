// launch: flat, bytes 32
// instances: convert<I, float>
#include "vectors.cuh"

// Values in another dtype.
template <typename T, typename U>
__global__ void convert(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom) {
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols, [](T v) { return U(v); });
}
