// Smoothed differences of an element's neighbours.
#pragma once
#include "borders.cuh"

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
  __device__ A row(int i, A centre, A outer) const { return (v[i][0] + v[i][2]) * outer + v[i][1] * centre; }
  __device__ A column(int j, A centre, A outer) const { return (v[0][j] + v[2][j]) * outer + v[1][j] * centre; }
  // Differences of smoothed neighbours along axis 0 and axis 1.
  __device__ A down(A centre, A outer) const { return row(2, centre, outer) - row(0, centre, outer); }
  __device__ A along(A centre, A outer) const { return column(2, centre, outer) - column(0, centre, outer); }
};
