// launch: flat, bytes 32
// instances: nan_lowest<F, F>
#include "numbers.cuh"
#include "vectors.cuh"

// The least value in place of NaN.
template <typename T, typename U>
__global__ void nan_lowest(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                           long long top, long long bottom) {
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols,
               [](T v) { return is_nan(v) ? U(__int_as_float(int(0xff800000u))) : U(v); });
}
