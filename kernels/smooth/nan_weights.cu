// launch: flat, bytes 32
// instances: nan_weights<F, F>
#include "numbers.cuh"
#include "vectors.cuh"

// 0 in place of NaN, and the weights of values: 0 for NaN, 1 for all others.
template <typename T, typename U>
__global__ void nan_weights(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                            long long top, long long bottom, U* weights, long long weights_rows,
                            long long weights_cols) {
  const long long offset = top * cols, count = (bottom - top) * cols;
  map_elements(src + offset, weights + offset, count, [](T v) { return is_nan(v) ? U(0) : U(1); });
  map_elements(src + offset, dst + offset, count, [](T v) { return is_nan(v) ? U(0) : U(v); });
}
