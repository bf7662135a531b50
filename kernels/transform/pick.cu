// launch: tile 32x8, pixels 4x1
// instances: pick<M, M>
#include "columns.cuh"

// Single samples, whose rows and columns tables name: nearest-neighbour interpolation.
template <typename T, typename U>
__global__ void pick(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                     long long top, long long bottom, long long step, const long long* i0, long long downs,
                     long long down_taps, const long long* i1, long long alongs, long long along_taps) {
  each_column(dst_cols, top, bottom, [=](long long row, long long x) {
    const long long pixel = x / step, channel = x - pixel * step;
    dst[row * dst_cols + x] = src[i0[row] * cols + i1[pixel] * step + channel];
  });
}
