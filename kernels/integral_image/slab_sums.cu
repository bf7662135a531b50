// launch: tile 128x1, pixels 1x1
// instances: slab_sums<I, long long>; slab_sums<F, double>
#include "slabs.cuh"

// The sum of each column of a slab of `height` rows, from top to bottom.
template <typename T, typename U>
__global__ void slab_sums(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long height) {
  each_slab_column(rows, cols, top, bottom, height, [=](long long slab, long long x, long long first, long long last) {
    U total = U(0);
#pragma unroll 8
    for (long long row = first; row < last; ++row) total = total + U(src[row * cols + x]);
    dst[slab * cols + x] = total;
  });
}
