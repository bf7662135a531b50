// launch: tile 32x8, pixels 4x1
// instances: gradient<T, A>
#include "angles.cuh"
#include "columns.cuh"
#include "neighbours.cuh"
#include "numbers.cuh"

// The gradient in polar form: the root of both squares of differences of smoothed neighbours, and their angle.
template <typename T, typename U>
__global__ void gradient(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                         long long top, long long bottom, U* direction, long long direction_rows,
                         long long direction_cols, long long step, long long mode, double cval, long long centre,
                         long long outer, double factor) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const Neighbours<T, U> near(src, rows, cols, row, x, step, mode, cval);
    const U down = near.down(U(centre), U(outer)), along = near.along(U(centre), U(outer));
    dst[row * cols + x] = root(along * along + down * down) * U(factor);
    direction[row * cols + x] = arctan2(down, along);
  });
}
