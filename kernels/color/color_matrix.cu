// launch: flat, pixels 12
// instances: color_matrix<T, A>
#include "colors.cuh"

// Three channels, each a weighted sum of the three input channels, with constants added before and after.
template <typename T, typename A>
__global__ void color_matrix(const T* src, long long rows, long long cols, A* dst, long long dst_rows,
                             long long dst_cols, long long top, long long bottom, const double* before,
                             long long befores, const double* matrix, long long matrix_rows, long long matrix_cols,
                             const double* after, long long afters) {
  const Weights<A> weights(matrix);
  const A before0 = A(before[0]), before1 = A(before[1]), before2 = A(before[2]);
  const A after0 = A(after[0]), after1 = A(after[1]), after2 = A(after[2]);
  each_color(src, dst, cols, top, bottom, [=](T one, T two, T three, A* out) {
    const A first = share<A>(one) + before0, second = share<A>(two) + before1, third = share<A>(three) + before2;
    out[0] = weights.sum(0, first, second, third) + after0;
    out[1] = weights.sum(1, first, second, third) + after1;
    out[2] = weights.sum(2, first, second, third) + after2;
  });
}
