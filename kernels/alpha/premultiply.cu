// launch: flat, pixels 1
// instances: premultiply<unsigned char, unsigned short>; premultiply<unsigned char, float>; premultiply<T, double>
#include "numbers.cuh"

// Colours times alpha, the last channel; then alpha; then, if the result has a further channel, 0 where alpha is
// `most`, else 1.
template <typename T, typename A>
__global__ void premultiply(const T* src, long long rows, long long cols, A* dst, long long dst_rows, long long dst_cols,
                            long long top, long long bottom, long long step, double most) {
  const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= (bottom - top) * dst_cols) return;
  const long long wide = dst_cols / (cols / step);
  const long long pixel = at / wide, channel = at - pixel * wide;
  const T* const from = src + top * cols + pixel * step;
  const A alpha = A(__ldg(from + step - 1));
  A value = alpha;
  if (channel < step - 1) value = weighed(A(__ldg(from + channel)), alpha);
  if (channel == step) value = alpha == A(most) ? A(0) : A(1);
  dst[top * dst_cols + at] = value;
}
