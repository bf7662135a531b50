// launch: slabs, threads 256, added
// instances: bincount<F, long long>
#include "counting.cuh"

// How many values lie in edges[i] <= v < edges[i + 1], the last bin closed; as numpy.histogram, whose edges lie at nearly
// equal distances: a guess finds the bin but for a step or two.
template <typename T, typename U>
__global__ void bincount(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                         long long top, long long bottom, const double* edges, long long count) {
  const long long slab = top + blockIdx.y;
  const long long first = slab * rows / dst_rows, last = (slab + 1) * rows / dst_rows, bins = count - 1;
  const double low = edges[0], high = edges[bins], scale = double(bins) / (high - low);
  count_values(src + first * cols, (last - first) * cols, 1, dst + slab * dst_cols, bins, [=](T value, long long) {
    const double v = value;
    if (!(v >= low && v <= high)) return -1ll;
    long long bin = 0;
    if (scale > 0 && scale <= 1.7976931348623157e308) {
      const double guess = (v - low) * scale;
      bin = guess > 0 ? guess < double(bins) ? (long long)guess : bins - 1 : 0;
    } else {  // the range is too small or too large for its inverse
      for (long long end = bins; end - bin > 1;) {
        const long long middle = (bin + end) / 2;
        (v < edges[middle] ? end : bin) = middle;
      }
    }
    while (bin > 0 && v < edges[bin]) --bin;
    while (bin < bins - 1 && v >= edges[bin + 1]) ++bin;
    return bin;
  });
}
