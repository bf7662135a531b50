// Columns and rows of a thread in kernels launched as "tile 32x8, pixels 8x4" with tables of samples: a column's table
// entry serves all rows of a thread, and vice versa.
#pragma once

constexpr int COLUMNS = 8, ROWS = 4;

__device__ __forceinline__ long long first_column() {
  return (long long)blockIdx.x * (COLUMNS * blockDim.x) + threadIdx.x;  // the next ones are blockDim.x apart
}
__device__ __forceinline__ long long first_row(long long top) {
  return top + ((long long)blockIdx.y * blockDim.y + threadIdx.y) * ROWS;
}

// The pixel that an element of a row belongs to.
__device__ __forceinline__ long long pixel_of(long long x, long long step) {
  if (step == 1) return x;
  return x < 0x7fffffff ? (long long)(unsigned(x) / unsigned(step)) : x / step;
}
