// launch: flat, pixels 1
// instances: colors<M, M>
#include "numbers.cuh"

// The colours of an image and the alpha of another.
template <typename T, typename U>
__global__ void colors(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                       long long top, long long bottom, long long step, const U* other, long long other_rows,
                       long long other_cols) {
  const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= (bottom - top) * dst_cols) return;
  const long long place = top * dst_cols + at;
  dst[place] = __ldg((at % step == step - 1 ? other : src) + place);
}
