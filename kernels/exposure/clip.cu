// launch: flat, bytes 32
// instances: clip<I, I, long long>; clip<F, F, double>
#include "vectors.cuh"

// Values clipped to a range, whose limits have the image's dtype; NaN stays NaN.
template <typename T, typename U, typename V>
__global__ void clip(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                     long long top, long long bottom, V low, V high) {
  const T minimum = T(low), maximum = T(high);
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols, [=](T v) {
    const T raised = v < minimum ? minimum : v;
    return U(raised > maximum ? maximum : raised);
  });
}
