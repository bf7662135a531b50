// launch: tile 128x1, pixels 1x1
// instances: zero_rows<I, int>
#include "never.cuh"
#include "slabs.cuh"

// For each column, the first and the last row of each slab with a zero: the first rows, then the last rows.
template <typename T, typename U>
__global__ void zero_rows(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long height) {
  each_slab_column(rows, cols, top, bottom, height, [=](long long slab, long long x, long long first, long long last) {
    int soonest = NEVER, latest = -NEVER;
    for (long long row = first; row < last; ++row) {
      if (src[row * cols + x] != T(0)) continue;
      if (soonest == NEVER) soonest = int(row);
      latest = int(row);
    }
    dst[slab * dst_cols + x] = soonest;
    dst[slab * dst_cols + cols + x] = latest;
  });
}
