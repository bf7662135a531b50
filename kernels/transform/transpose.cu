// launch: tile 32x8, pixels 4x1
// instances: transpose<M, M>
#include "columns.cuh"

// Rows as columns, either of them in the opposite order: an image rotated by 90 degrees.
template <typename T, typename U>
__global__ void transpose(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, long long turned_rows,
                          long long turned_cols) {
  each_column(dst_cols, top, bottom, [=](long long row, long long x) {
    const long long pixel = x / step, channel = x - pixel * step;
    const long long from = turned_rows ? rows - 1 - pixel : pixel;
    const long long col = turned_cols ? cols / step - 1 - row : row;
    dst[row * dst_cols + x] = src[from * cols + col * step + channel];
  });
}
