// launch: tile 32x8, pixels 4x1
// instances: remap_cubic<T, F>
#include "columns.cuh"
#include "sampling.cuh"

// Bicubic interpolation at given coordinates.
template <typename T, typename C>
__global__ void __launch_bounds__(256)
    remap_cubic(const T* src, long long rows_of_src, long long cols_of_src, T* dst, long long dst_rows,
                long long dst_cols, long long top, long long bottom, long long step, const C* rows,
                long long height, long long width, const C* cols, long long heights, long long widths, long long mode,
                double cval) {
  each_column(dst_cols, top, bottom, [&](long long row, long long x) {
    const long long col = x / step, here = row * width + col;
    const Place place = {double(cols[here]), double(rows[here])};
    dst[row * dst_cols + x] =
        interpolated<4, Wide<T>>(src, rows_of_src, cols_of_src, place, x - col * step, step, mode, cval);
  });
}
