// launch: tile 32x8, pixels 4x1
// instances: color_matrix<T, A>
#include "colors.cuh"

// Three channels, each a weighted sum of the three that come, with constants added before and after.
template <typename T, typename A>
__global__ void color_matrix(const T* src, long long rows, long long cols, A* dst, long long dst_rows, long long dst_cols,
                             long long top, long long bottom, const double* before, long long befores,
                             const double* matrix, long long matrix_rows, long long matrix_cols, const double* after,
                             long long afters) {
  each_color(src, dst, cols, top, bottom, [=](A first, A second, A third, A* out) {
    first = first + A(before[0]);
    second = second + A(before[1]);
    third = third + A(before[2]);
    for (int k = 0; k < 3; ++k) out[k] = weighed(matrix + 3 * k, first, second, third) + A(after[k]);
  });
}
