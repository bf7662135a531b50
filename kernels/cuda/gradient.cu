// launch: tile 32x8, pixels 4x1
// instances: gradient<T, A>
#include "borders.cuh"
#include "columns.cuh"
#include "numbers.cuh"

// The eight neighbours of an element; inside of the image without folding.
template <typename T, typename A>
struct Neighbours {
  A v[3][3];
  __device__ Neighbours(const T* src, long long rows, long long cols, long long row, long long x, long long step,
                        long long mode, double cval) {
    const bool inside = row > 0 && row + 1 < rows && x >= step && x + step < cols;
    long long r[3], c[3];
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      r[i] = inside ? row + i - 1 : fold(row + i - 1, rows, mode);
      c[i] = inside ? x + (i - 1) * step : fold_element(x + (i - 1) * step, cols, step, mode);
    }
#pragma unroll
    for (int i = 0; i < 3; ++i)
#pragma unroll
      for (int j = 0; j < 3; ++j) v[i][j] = r[i] < 0 || c[j] < 0 ? A(T(cval)) : A(src[r[i] * cols + c[j]]);
  }
  __device__ A along_row(int i, A centre, A outer) const { return (v[i][0] + v[i][2]) * outer + v[i][1] * centre; }
  __device__ A down_column(int j, A centre, A outer) const { return (v[0][j] + v[2][j]) * outer + v[1][j] * centre; }
};

// Differences of smoothed neighbours: along axis 0 or 1, or (axis 2) the root of both squares.
template <typename T, typename U>
__global__ void gradient(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, long long step, long long mode, double cval, long long axis,
                         long long centre, long long outer, double factor) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const Neighbours<T, U> near(src, rows, cols, row, x, step, mode, cval);
    const U c = U(centre), o = U(outer);
    const U down = near.along_row(2, c, o) - near.along_row(0, c, o);
    const U along = near.down_column(2, c, o) - near.down_column(0, c, o);
    dst[row * cols + x] = (axis == 0 ? down : axis == 1 ? along : root(along * along + down * down)) * U(factor);
  });
}
