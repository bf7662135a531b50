// launch: tile 32x8, pixels 4x1
// instances: labels_before<int>; label_pixels<int>
#include "label_nodes.cuh"

// The number of components that begin before each part, in its channel: one warp per channel.
template <typename U>
__global__ void __launch_bounds__(32) labels_before(const U* nodes, long long parts, long long stride, U* before,
                                                    long long count, long long slabs) {
  const int lane = threadIdx.x;
  for (long long channel = blockIdx.x; channel * slabs < parts; channel += gridDim.x) {
    int sum = 0;
    for (long long first = 0; first < slabs; first += 32) {
      const long long slab = first + lane, part = channel * slabs + slab;
      const int roots = slab < slabs ? nodes[part * stride + ROOTS] : 0;
      int until = roots;
#pragma unroll
      for (int by = 1; by < 32; by *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, until, by);
        if (lane >= by) until += other;
      }
      if (slab < slabs) before[part] = sum + until - roots;
      sum += __shfl_sync(0xffffffffu, until, 31);
    }
  }
}

// Writes the number of its root to each pixel.
template <typename U>
__global__ void __launch_bounds__(256) label_pixels(const U* nodes, long long parts, long long stride, U* dst,
                                                    long long rows, long long cols, const U* before, long long count,
                                                    long long step, long long height) {
  const long long pixels = cols / step, slabs = parts / step;
  const long long left = (long long)blockIdx.x * 128 + threadIdx.x;
  for (long long channel = blockIdx.z; channel < step; channel += gridDim.z) {
    for (long long row = (long long)blockIdx.y * 8 + threadIdx.y; row < rows; row += (long long)gridDim.y * 8) {
      const int first = first_of_row(channel, row, slabs, height, pixels, stride);
      U number[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) number[k] = left + k * 32 < pixels ? nodes[first + int(left) + k * 32] : 0;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const long long x = left + k * 32;
        if (x >= pixels) break;
        int node = first + int(x), found = number[k];
        while (found > 0) {
          node = found;
          found = nodes[node];
        }
        dst[row * cols + x * step + channel] = found == 0 ? 0 : before[(unsigned int)node / (unsigned int)stride] - found;
      }
    }
  }
}
