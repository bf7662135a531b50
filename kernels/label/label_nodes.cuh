// Layout of the nodes of `label_slabs`: parts are slabs of `height` rows of one channel, those of a channel are
// consecutive, and each has a header, then a node per pixel. So nodes of one channel are in raster order. The table has
// fewer than 2**31 numbers.
#pragma once

constexpr int COUNT = 0, ROOTS = 2, HEADER = 4;  // as in runs.py: the end of a part's nodes, its number of roots

// The node of a row's first pixel.
__device__ __forceinline__ int first_of_row(long long channel, long long row, long long slabs, long long height,
                                            long long pixels, long long stride) {
  const unsigned int slab = (unsigned int)row / (unsigned int)height;
  return int((channel * slabs + slab) * stride + HEADER + (row - slab * height) * pixels);
}
