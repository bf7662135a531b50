// launch: flat, bytes 32
// instances: nan_replaced<F, F, double>
#include "numbers.cuh"
#include "vectors.cuh"

// Replaces NaN by a value.
template <typename T, typename U, typename V>
__global__ void nan_replaced(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                             long long dst_cols, long long top, long long bottom, V value) {
  const U other = U(value);
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols,
               [=](T v) { return is_nan(v) ? other : U(v); });
}
