// launch: tile 32x8, pixels 4x1
// instances: outermost<T, T>
#include "columns.cuh"

// The image's outermost pixels, with `inside` everywhere else.
template <typename T, typename U>
__global__ void outermost(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, double inside) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const bool within = row > 0 && row < rows - 1 && x >= step && x < cols - step;
    dst[row * cols + x] = within ? T(inside) : src[row * cols + x];
  });
}
