// launch: slabs, threads 256, added
// instances: bincount<F, long long>
#include "counting.cuh"

// A sum with MAGIC has the integer nearest to a number in the lowest bits of its fraction.
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

// The least T that is not below a number: no T lies between.
__device__ __forceinline__ float ceiling(double v, float) { return __double2float_ru(v); }
__device__ __forceinline__ double ceiling(double v, double) { return v; }

// The bin of a value, found among the edges themselves from a guess on.
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

// How many values lie in edges[i] <= v < edges[i + 1], the last bin closed; as numpy.histogram, whose edges lie at
// nearly equal distances. The place of a value on the scale of the bins is computed with rounding, but never decreases
// with the value: a value whose place is farther from all integers than the place of any edge is from its own integer
// lies between the edges that its place names. Only the others are searched.
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
  if (bins <= SHARED_BINS) {
    float wide = 0;
    for (int i = threadIdx.x; i <= int(bins); i += blockDim.x) {
      const float apart = fabsf(float(place(ceiling(edges[i], T(0))) - (T(i) - half)));
      wide = apart <= wide ? wide : apart < 1.f ? apart : 1.f;  // NaN, too, is 1
    }
    atomicMax(&widest, __float_as_int(wide));
    __syncthreads();
  }
  const float margin = __int_as_float(widest) * 1.0001f + 1e-6f;  // more than what differences are rounded by
  const T near = half - T(margin);
  constexpr T magic = Nearest<T>::MAGIC;
  const unsigned known = unsigned(bins);

  const auto quick = [=](T value, int) {
    const T at = place(value), moved = at + magic;
    const auto bin = Nearest<T>::bits(moved) - Nearest<T>::bits(magic);  // beyond all bins for one below them
    const T off = at - (moved - magic);
    return off < near && -off < near && bin < known ? int(bin) : -1;
  };
  count_values<false>(src + first * cols, (last - first) * cols, 1, dst + slab * dst_cols, bins, quick,
                      [=](T value) { return searched(value, edges, bins, scale); });
}
