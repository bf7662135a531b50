// launch: flat, bytes 32
// instances: power<F, F>
#include "vectors.cuh"

// Positive values raised to a power, times a factor.
template <typename T, typename U>
__global__ void power(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, double exponent, double factor) {
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols,
               [=](T v) { return U(pow(double(v), exponent) * factor); });
}
