// launch: slabs, threads 32
// instances: peak_spacing<unsigned char, unsigned char>
#include "unions.cuh"

// Keeps peaks at least `distance` rows or columns from each other, in place, the first ones in raster order: one warp goes
// over the image, all its lanes look around a peak.
template <typename T, typename U>
__global__ void __launch_bounds__(32) peak_spacing(const T* src, long long rows, long long cols, U* dst,
                                                   long long dst_rows, long long dst_cols, long long top,
                                                   long long bottom, long long* kept, long long count, long long step,
                                                   long long distance) {
  constexpr int WORDS = 8;  // whose loads are in flight
  const int lane = threadIdx.x;
  const long long most = cols / step, reach = (distance - 1 < most ? distance - 1 : most) * step;
  for (long long x = lane; x < cols; x += 32) kept[x] = -distance;
  __syncwarp();
#pragma unroll 1
  for (long long row = 0; row < rows; ++row) {
    U* const line = dst + row * cols;
#pragma unroll 1
    for (long long first = 0; first < cols; first += WORDS * 32) {
      U peak[WORDS];
#pragma unroll
      for (int k = 0; k < WORDS; ++k) peak[k] = first + k * 32 + lane < cols ? line[first + k * 32 + lane] : U(0);
#pragma unroll
      for (int k = 0; k < WORDS; ++k) {
#pragma unroll 1
        for (Word32 left = __ballot_sync(ALL_LANES, peak[k]); left != 0; left &= left - 1) {
          const long long x = first + k * 32 + __ffs(int(left)) - 1;
          const long long begin = x - reach > x % step ? x - reach : x % step;
          bool near = false;
#pragma unroll 1
          for (long long at = begin + lane * step; at <= x + reach && at < cols; at += 32 * step)
            near = near || kept[at] > row - distance;
          near = __any_sync(ALL_LANES, near);
          if (lane == 0) {
            if (near) line[x] = 0;
            else kept[x] = row;
          }
          __syncwarp();
        }
      }
    }
  }
}
