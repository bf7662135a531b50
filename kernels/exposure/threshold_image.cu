// launch: flat, bytes 32
// instances: threshold_image<T, unsigned char>
#include "vectors.cuh"

// dst = src > value, pixel by pixel.
template <typename T, typename U>
__global__ void threshold_image(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                                long long dst_cols, long long top, long long bottom, const T* value,
                                long long value_rows, long long value_cols) {
  const long long offset = top * cols;
  map_pairs(src + offset, value + offset, dst + offset, (bottom - top) * cols, [](T a, T b) { return U(a > b); });
}
