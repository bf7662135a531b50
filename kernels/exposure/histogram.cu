// launch: slabs, threads 256, added
// instances: histogram<I, long long>
#include "counting.cuh"

// The number of occurrences of each value in each channel: dst[slab, channel * values + (v - low)].
template <typename T, typename U>
__global__ void __launch_bounds__(256)
    histogram(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
              long long top, long long bottom, long long step, long long low) {
  const long long slab = top + blockIdx.y;
  const long long first = slab * rows / dst_rows, last = (slab + 1) * rows / dst_rows;
  const int minimum = int(low);
  count_values<true>(
      src + first * cols, (last - first) * cols, step, dst + slab * dst_cols, dst_cols,
      [=](T v, auto base) { return base + (int(v) - minimum); }, [](T) { return -1; });
}
