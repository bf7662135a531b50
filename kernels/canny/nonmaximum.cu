// launch: tile 32x8, pixels 4x1
// instances: nonmaximum<F, unsigned char>
#include "columns.cuh"
#include "suppression.cuh"

// Non-maximum suppression of the gradient magnitude; `down` and `along` are the derivatives.
template <typename T, typename U>
__global__ void nonmaximum(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                           long long top, long long bottom, long long step, long long mode, double cval, const T* down,
                           long long down_rows, long long down_cols, const T* along, long long along_rows,
                           long long along_cols, double low, double high) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long here = row * cols + x;
    const auto magnitude = [=](int rows_down, int pixels) { return src[here + rows_down * cols + pixels * step]; };
    dst[here] = outermost(rows, cols, row, x, step)
                    ? U(0)
                    : maximum_level(src[here], down[here], along[here], T(low), T(high), magnitude);
  });
}
