// launch: tile 128x1, pixels 1x1
// instances: zeros_beyond<int, int>
#include "never.cuh"

// The nearest rows with a zero above and below each slab, from those of all slabs: one thread per column.
template <typename T, typename U>
__global__ void zeros_beyond(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                             long long dst_cols, long long first, long long last) {
  const long long x = first + (long long)blockIdx.x * blockDim.x + threadIdx.x, width = cols / 2;
  if (x >= last) return;
  int above = -NEVER, below = NEVER;
  for (long long slab = 0; slab < rows; ++slab) {
    dst[slab * cols + x] = above;
    above = max(above, int(src[slab * cols + width + x]));
  }
  for (long long slab = rows - 1; slab >= 0; --slab) {
    dst[slab * cols + width + x] = below;
    below = min(below, int(src[slab * cols + x]));
  }
}
