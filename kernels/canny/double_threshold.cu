// launch: flat, bytes 32
// instances: double_threshold<I, unsigned char, long long>; double_threshold<F, unsigned char, double>
#include "vectors.cuh"

// 1 above `high`, 2 above `low` only, else `rest`. The thresholds have the image's dtype.
template <typename T, typename U, typename V>
__global__ void double_threshold(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                                 long long dst_cols, long long top, long long bottom, V low, V high, long long rest) {
  const T lower = T(low), upper = T(high);
  const U other = U(rest);
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols,
               [=](T v) { return v > upper ? U(1) : v > lower ? U(2) : other; });
}
