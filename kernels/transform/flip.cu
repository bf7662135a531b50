// launch: tile 32x8, pixels 4x1
// instances: flip<M, M>
#include "columns.cuh"

// Rows or columns in the opposite order.
template <typename T, typename U>
__global__ void flip(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                     long long top, long long bottom, long long step, long long vertical, long long horizontal) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long from = vertical ? rows - 1 - row : row, channel = x % step;
    dst[row * cols + x] = src[from * cols + (horizontal ? cols - step - (x - channel) + channel : x)];
  });
}
