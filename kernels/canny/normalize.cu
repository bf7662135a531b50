// launch: tile 32x8, pixels 4x1
// instances: normalize<F, F>
#include "columns.cuh"

// The share of a symmetric kernel's weights around a place that is inside; `taps` weights are one half of it.
__device__ __forceinline__ double share_inside(long long place, long long length, const double* weights,
                                               long long taps) {
  double share = 1;
  if (place >= taps - 1 && place + taps - 1 < length) return share;
  for (long long far = 1; far < taps; ++far) share -= weights[far] * double((place - far < 0) + (place + far >= length));
  return share;
}

// A smoothed image divided by a smoothed image of ones, whose value beyond the edge is `outside`.
template <typename T, typename U>
__global__ void normalize(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, const double* w0, long long taps0,
                          const double* w1, long long taps1, double outside) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const double share = share_inside(row, rows, w0, taps0);
    const long long reach = (taps1 - 1) * step;
    const T value = src[row * cols + x];
    if (share == 1 && x >= reach && x < cols - reach) {
      dst[row * cols + x] = value;
      return;
    }
    const double part = share * share_inside(x / step, cols / step, w1, taps1);
    dst[row * cols + x] = U(double(value) / (part + outside * (1 - part)));
  });
}
