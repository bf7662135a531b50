// launch: flat, pixels 1
// instances: append<M, M>
#include "numbers.cuh"

// The channels of an image, then the last channel of another.
template <typename T, typename U>
__global__ void append(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                       long long top, long long bottom, long long step, const U* other, long long other_rows,
                       long long other_cols, long long other_step) {
  const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= (bottom - top) * dst_cols) return;
  const long long pixel = at / (step + 1), channel = at - pixel * (step + 1);
  dst[top * dst_cols + at] = channel < step ? __ldg(src + top * cols + pixel * step + channel)
                                            : __ldg(other + top * other_cols + pixel * other_step + other_step - 1);
}
