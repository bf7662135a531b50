// launch: flat, pixels 1
// instances: channels<M, M>
#include "numbers.cuh"

// Consecutive channels of an image.
template <typename T, typename U>
__global__ void channels(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                         long long top, long long bottom, long long step, long long first, long long count) {
  const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= (bottom - top) * dst_cols) return;
  const long long pixel = at / count;
  dst[top * dst_cols + at] = __ldg(src + top * cols + pixel * step + first + (at - pixel * count));
}
