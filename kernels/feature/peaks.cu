// launch: tile 32x8, pixels 4x1
// instances: peaks<I, unsigned char, long long>; peaks<F, unsigned char, double>
#include "columns.cuh"

// Pixels that equal the maximum of their window (src) and exceed `value`, or with `always` all that equal it, outside
// margins along the image's edges.
template <typename T, typename U, typename V>
__global__ void peaks(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, const T* image, long long image_rows, long long image_cols,
                      long long step, V value, long long always, long long margin_rows, long long margin_cols) {
  const T limit = T(value);
  const long long begin = margin_cols * step, end = cols - begin;
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long at = row * cols + x;
    const bool inside = row >= margin_rows && row < rows - margin_rows && x >= begin && x < end;
    dst[at] = U(inside && image[at] == src[at] && (image[at] > limit || always != 0));
  });
}
