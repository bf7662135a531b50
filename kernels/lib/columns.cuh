// The loop over a thread's elements in kernels launched as "tile 32x8, pixels 4x1".
#pragma once

// Calls fill(row, x) for the four columns of a thread; a warp's columns are adjacent, so its stores coalesce.
template <typename Fill>
__device__ __forceinline__ void each_column(long long cols, long long top, long long bottom, Fill fill) {
  const long long row = top + (long long)blockIdx.y * blockDim.y + threadIdx.y;
  if (row >= bottom) return;
#pragma unroll 1
  for (int k = 0; k < 4; ++k) {
    const long long x = ((long long)blockIdx.x * 4 + k) * blockDim.x + threadIdx.x;
    if (x < cols) fill(row, x);
  }
}
