// launch: slabs, threads 1024
// instances: label_roots<int, int>
#include "label_nodes.cuh"

// Numbers the roots of each part, one block per part: the root with n before it gets -1 - n. In place.
template <typename T, typename U>
__global__ void __launch_bounds__(1024) label_roots(const T* src, long long rows, long long cols, U* dst,
                                                    long long dst_rows, long long stride, long long top, long long bottom) {
  constexpr int EACH = 8, WARPS = 32;
  __shared__ int totals[2][WARPS];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int base = int((top + blockIdx.y) * stride);
  U* const nodes = dst + base;
  const int end = nodes[COUNT];
  int roots = 0, turn = 0;
  for (int first = HEADER; first < end; first += WARPS * 32 * EACH, turn ^= 1) {
    const int start = first + warp * 32 * EACH + lane;
    unsigned int found[EACH];
    int total = 0;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
      const int node = start + k * 32;
      found[k] = __ballot_sync(0xffffffffu, node < end && nodes[node] == base + node);
      total += __popc(found[k]);
    }
    // Double buffering: the next totals are written while these may still be read.
    if (lane == 0) totals[turn][warp] = total;
    __syncthreads();
    int sum = totals[turn][lane];
#pragma unroll
    for (int by = 1; by < 32; by *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, sum, by);
      if (lane >= by) sum += other;
    }
    int before = roots + __shfl_sync(0xffffffffu, sum, warp) - total;
    roots += __shfl_sync(0xffffffffu, sum, 31);
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
      if (found[k] >> lane & 1) nodes[start + k * 32] = -1 - before - __popc(found[k] & ((1u << lane) - 1));
      before += __popc(found[k]);
    }
  }
  if (threadIdx.x == 0) nodes[ROOTS] = roots;
}
