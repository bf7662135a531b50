// launch: tile 128x1, pixels 1x1
// instances: go_down<I, int>; measure<int, float>
#include "never.cuh"
#include "slabs.cuh"

// Distances down the columns to the nearest zero, in rows, from the nearest zeros above and below each slab.
template <typename T, typename U>
__global__ void go_down(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, const int* beyond, long long slabs, long long beyond_cols,
                        long long height) {
  each_slab_column(rows, cols, top, bottom, height, [=](long long slab, long long x, long long first, long long last) {
    int distance = int(min(first - 1 - beyond[slab * beyond_cols + x], (long long)NEVER));
    for (long long row = first; row < last; ++row) {
      distance = src[row * cols + x] != T(0) ? distance + 1 : 0;
      dst[row * cols + x] = distance;
    }
    distance = int(min(beyond[slab * beyond_cols + cols + x] - last, (long long)NEVER));
    for (long long row = last - 1; row >= first; --row) {
      distance = min(distance + 1, int(dst[row * cols + x]));
      dst[row * cols + x] = distance;
    }
  });
}

// The minimum over all columns of the squared distance there plus the squared horizontal offset, searched from the
// pixel outwards until the offset alone is as large (T. Saito, J. Toriwaki, "New algorithms for Euclidean distance
// transformation of an n-dimensional digitized picture with applications", Pattern Recognition 27, 1994). In integers;
// the root of a double is correct in float, too.
template <typename T, typename U>
__global__ void measure(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, long long step) {
  const long long row = top + blockIdx.y, x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= bottom || x >= cols) return;
  constexpr long long NOWHERE = 1ll << 62;
  const T* const line = src + row * cols;
  const auto squared = [=](long long at) {
    const long long down = line[at];
    return down >= NEVER / 2 ? NOWHERE : down * down;
  };
  long long best = squared(x), left = x - step, right = x + step;
  for (long long way = 1; way * way < best && (left >= 0 || right < cols); ++way, left -= step, right += step) {
    const long long across = way * way;
    if (left >= 0) best = min(best, squared(left) + across);
    if (right < cols) best = min(best, squared(right) + across);
  }
  dst[row * cols + x] = best >= NOWHERE ? __int_as_float(0x7f800000) : U(sqrt(double(best)));
}
