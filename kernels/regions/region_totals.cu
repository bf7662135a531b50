// instances: region_totals<L>
#include "region_tables.cuh"

constexpr int BITS = 32, LEAST = 128;

__device__ __forceinline__ int magnitude_of(Figure place) {
  return int(((place >> 63 ? place : ~place) >> 52) & 0x7ff);
}

__device__ __forceinline__ double power(int exponent) { return __longlong_as_double((long long)exponent << 52); }

template <typename T>
__global__ void __launch_bounds__(128)
    region_totals(unsigned long long* dst, long long regions, long long numbers, const int* labels, long long rows, long long cols,
                  const T* intensity, long long intensity_rows, long long intensity_cols, const unsigned long long* extrema,
                  long long extrema_rows, long long extrema_cols, long long step) {
  double coarse = 0, by_coarse = 0, by_fine = 0;
  const auto begin = [&](long long at) {
    const int high = magnitude_of(extrema[at * 4]), low = magnitude_of(~extrema[at * 4 + 1]);
    const int most = high > low ? high : low, exponent = most > LEAST ? most : LEAST;
    coarse = power(exponent + 1 - BITS);
    by_coarse = power(2045 + BITS - exponent);
    by_fine = power(2045 + 2 * BITS - exponent);
  };
  for (long long channel = blockIdx.z; channel < step; channel += gridDim.z)
    each_strip<2, 2>(dst, regions, labels, rows, cols, step, channel, begin,
                     [&](Numbers<2, 2>& found, long long row, long long x) {
                       const double v = double(intensity[row * intensity_cols + x * step + channel]);
                       if (v - v != 0) return;
                       const double multiple = rint(v * by_coarse);
                       found.v[0] += Figure((long long)multiple);
                       found.v[1] += Figure((long long)rint((v - multiple * coarse) * by_fine));
                     });
}
