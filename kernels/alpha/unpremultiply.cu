// launch: flat, pixels 1
// instances: unpremultiply<float, unsigned char>; unpremultiply<double, T>
#include "numbers.cuh"

// Filtered images of `premultiply` divided by alpha. `other` is the image filtered without premultiplication: its
// colours are used where the neighbourhood is opaque or alpha is 0, and its alpha everywhere. The neighbourhood is
// opaque where the further channel is 0, or without such a channel, where alpha is at least `limit`.
template <typename A, typename T>
__global__ void unpremultiply(const A* src, long long rows, long long cols, T* dst, long long dst_rows,
                              long long dst_cols, long long top, long long bottom, long long step, const T* other,
                              long long other_rows, long long other_cols, double limit) {
  const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= (bottom - top) * dst_cols) return;
  const long long narrow = dst_cols / (cols / step);
  const long long pixel = at / narrow, channel = at - pixel * narrow;
  const A* const from = src + top * cols + pixel * step;
  const A alpha = __ldg(from + narrow - 1);
  const bool is_mixed = step > narrow ? __ldg(from + narrow) != A(0) : alpha < A(limit);
  const bool is_weighed = channel < narrow - 1 && is_mixed && alpha > A(0);
  dst[top * dst_cols + at] =
      is_weighed ? rounded<T>(__ldg(from + channel) / alpha) : __ldg(other + top * other_cols + at);
}
