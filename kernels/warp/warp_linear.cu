// launch: tile 32x8, pixels 4x1
// instances: warp_linear<T, T>
#include "columns.cuh"
#include "sampling.cuh"

// Bilinear interpolation at coordinates by a matrix.
template <typename T, typename U>
__global__ void __launch_bounds__(256)
    warp_linear(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
                long long bottom, long long step, const double* matrix, long long matrix_rows, long long matrix_cols,
                long long mode, double cval) {
  each_column(dst_cols, top, bottom, [&](long long row, long long x) {
    const long long col = x / step;
    const Place place = place_of(matrix, row, col);
    dst[row * dst_cols + x] = interpolated<2, Wide<T>>(src, rows, cols, place, x - col * step, step, mode, cval);
  });
}
