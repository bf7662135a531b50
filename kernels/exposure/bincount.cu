// launch: slabs, threads 256, added
// instances: bincount<F, long long>; bincount_many<F, long long>
#include "counting.cuh"

// Adding MAGIC to a number rounds it to the nearest integer, which is then in the lowest bits of the sum.
template <typename T>
struct Nearest;
template <>
struct Nearest<float> {
  static constexpr float MAGIC = 12582912.f;  // 1.5 * 2^23
  static __device__ __forceinline__ unsigned bits(float v) { return __float_as_uint(v); }
};
template <>
struct Nearest<double> {
  static constexpr double MAGIC = 6755399441055744.0;  // 1.5 * 2^52
  static __device__ __forceinline__ unsigned long long bits(double v) { return __double_as_longlong(v); }
};

// The smallest T greater than or equal to a number.
__device__ __forceinline__ float ceiling(double v, float) { return __double2float_ru(v); }
__device__ __forceinline__ double ceiling(double v, double) { return v; }

// Return the bin of a value by comparing it with the edges, starting at an estimate; -1 if outside all bins.
__device__ __forceinline__ long long searched(double v, const double* edges, long long bins, double scale) {
  const double low = edges[0], high = edges[bins];
  if (!(v >= low && v <= high)) return -1;
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
}

// Count the values in edges[i] <= v < edges[i + 1], the last bin closed, as numpy.histogram, with nearly equidistant
// edges. The position of a value on the scale of the bins is computed with rounding, but is monotonic: a value whose
// position is farther from every integer than any edge's position is from its integer lies in the bin of its position.
// Only the other values are searched for.
template <typename T, typename U>
__global__ void __launch_bounds__(256)
    bincount(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
             long long bottom, const double* edges, long long count) {
  const long long slab = top + blockIdx.y;
  const long long first = slab * rows / dst_rows, last = (slab + 1) * rows / dst_rows, bins = count - 1;
  const double scale = double(bins) / (edges[bins] - edges[0]);
  const T begin = T(edges[0]), times = T(scale), half = T(0.5);
  const auto place = [=](T v) { return (v - begin) * times - half; };  // bins are centred on the integers

  __shared__ int widest;
  if (threadIdx.x == 0) widest = 0;
  __syncthreads();
  float wide = 0;
  for (int i = threadIdx.x; i <= int(bins); i += blockDim.x) {
    const float apart = fabsf(float(place(ceiling(edges[i], T(0))) - (T(i) - half)));
    wide = apart <= wide ? wide : apart < 1.f ? apart : 1.f;  // 1 for NaN
  }
  atomicMax(&widest, __float_as_int(wide));
  __syncthreads();
  const float margin = __int_as_float(widest) * 1.0001f + 1e-6f;  // more than the rounding errors of differences
  const T near = half - T(margin);
  constexpr T magic = Nearest<T>::MAGIC;
  const unsigned known = unsigned(bins);

  const auto quick = [=](T value, int) {
    const T at = place(value), moved = at + magic;
    const auto bin = Nearest<T>::bits(moved) - Nearest<T>::bits(magic);  // below the first bin: a large number
    const T off = at - (moved - magic);
    return off < near && -off < near && bin < known ? int(bin) : -1;
  };
  count_values<false>(src + first * cols, (last - first) * cols, 1, dst + slab * dst_cols, bins, quick,
                      [=](T value) { return searched(value, edges, bins, scale); });
}

// For more bins than fit into shared memory, and too many edges for each block to read: a value is compared with the
// edges of the bin of its position, and searched for if it does not lie between them.
template <typename T, typename U>
__global__ void __launch_bounds__(256, 4)
    bincount_many(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                  long long top, long long bottom, const double* edges, long long count) {
  const long long slab = top + blockIdx.y;
  const long long first = slab * rows / dst_rows, last = (slab + 1) * rows / dst_rows, bins = count - 1;
  const double scale = double(bins) / (edges[bins] - edges[0]);
  const T begin = T(edges[0]), times = T(scale);
  constexpr T half = T(0.5), magic = Nearest<T>::MAGIC;
  const unsigned known = unsigned(bins);
  Runs<U> runs = {dst + slab * dst_cols};
  const auto compared = [&](T value, int) {
    const auto bin = Nearest<T>::bits(((value - begin) * times - half) + magic) - Nearest<T>::bits(magic);
    const unsigned guess = bin < known ? unsigned(bin) : 0u;  // below the first bin: a large number
    const double from = __ldg(edges + guess), to = __ldg(edges + guess + 1);
    const bool inside = double(value) >= from && double(value) < to;
    if (inside) runs.add(guess);
    return inside;
  };
  each_value<true, false>(src + first * cols, (last - first) * cols, 1, 0, compared,
                          [&](T value) { runs.add(searched(value, edges, bins, scale)); });
  runs.flush();
}
