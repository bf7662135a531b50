// The columns of slabs of rows: a thread for each column of a slab, launched as "tile 128x1, pixels 1x1" for slabs.
#pragma once

// Calls fill(slab, x, first, last) for rows [first, last) of the thread's slab, if it has one.
template <typename Fill>
__device__ __forceinline__ void each_slab_column(long long rows, long long cols, long long top, long long bottom,
                                                 long long height, Fill fill) {
  const long long slab = top + blockIdx.y, x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (slab >= bottom || x >= cols) return;
  const long long first = slab * height;
  fill(slab, x, first, first + height < rows ? first + height : rows);
}
