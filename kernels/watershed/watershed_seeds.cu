// launch: tile 32x8, pixels 4x1
// instances: watershed_seeds<int, int>
#include "columns.cuh"
#include "water.cuh"

// Markers inside a mask; OUTSIDE elsewhere.
template <typename T, typename U>
__global__ void watershed_seeds(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                                long long dst_cols, long long top, long long bottom, const unsigned char* mask,
                                long long mask_rows, long long mask_cols) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long place = row * cols + x;
    dst[place] = mask[place] != 0 ? src[place] : OUTSIDE;
  });
}
