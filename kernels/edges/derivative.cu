// launch: tile 32x8, pixels 4x1
// instances: derivative<T, A>
#include "columns.cuh"
#include "neighbours.cuh"
#include "numbers.cuh"

// Differences of smoothed neighbours: along axis 0 or 1, or (axis 2) the root of both squares.
template <typename T, typename U>
__global__ void derivative(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                           long long dst_cols, long long top, long long bottom, long long step, long long mode,
                           double cval, long long axis, long long centre, long long outer, double factor) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const Neighbours<T, U> near(src, rows, cols, row, x, step, mode, cval);
    const U down = near.down(U(centre), U(outer)), along = near.along(U(centre), U(outer));
    dst[row * cols + x] = (axis == 0 ? down : axis == 1 ? along : root(along * along + down * down)) * U(factor);
  });
}
