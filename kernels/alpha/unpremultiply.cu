// launch: flat, pixels 1
// instances: unpremultiply<float, unsigned char>; unpremultiply<double, T>
#include "numbers.cuh"

// Filtered images of `premultiply` divided by alpha; `other` is the image filtered as it is: where that was opaque all
// around and where alpha is 0, its colours are taken, and its alpha everywhere.
template <typename A, typename T>
__global__ void unpremultiply(const A* src, long long rows, long long cols, T* dst, long long dst_rows,
                              long long dst_cols, long long top, long long bottom, long long step, const T* other,
                              long long other_rows, long long other_cols) {
  const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= (bottom - top) * dst_cols) return;
  const long long pixel = at / (step - 1), channel = at - pixel * (step - 1);
  const A* const from = src + top * cols + pixel * step;
  const A alpha = __ldg(from + step - 2), mixed = __ldg(from + step - 1);
  const bool is_weighed = channel < step - 2 && mixed > A(0) && alpha > A(0);
  dst[top * dst_cols + at] =
      is_weighed ? rounded<T>(__ldg(from + channel) / alpha) : __ldg(other + top * other_cols + at);
}
