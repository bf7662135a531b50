// launch: tile 32x8, pixels 4x1
// instances: warp_nearest<M, M>
#include "columns.cuh"
#include "sampling.cuh"

// Nearest-neighbour interpolation at coordinates by a matrix.
template <typename T, typename U>
__global__ void __launch_bounds__(256)
    warp_nearest(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
                 long long bottom, long long step, const double* matrix, long long matrix_rows, long long matrix_cols,
                 long long mode, long long fill_value) {
  each_column(dst_cols, top, bottom, [&](long long row, long long x) {
    const long long col = x / step;
    const Place place = place_of(matrix, row, col);
    dst[row * dst_cols + x] = nearest(src, rows, cols, place, x - col * step, step, mode, fill_value);
  });
}
