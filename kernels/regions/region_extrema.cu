// instances: region_extrema<L>
#include "region_tables.cuh"

__device__ __forceinline__ Figure place_of(double v) {
  const long long bits = __double_as_longlong(v);
  return bits < 0 ? ~Figure(bits) : Figure(bits) | 1ULL << 63;
}

template <typename T>
__global__ void __launch_bounds__(128)
    region_extrema(unsigned long long* dst, long long regions, long long numbers, const int* labels, long long rows, long long cols,
                   const T* intensity, long long intensity_rows, long long intensity_cols, long long step) {
  for (long long channel = blockIdx.z; channel < step; channel += gridDim.z)
    each_strip<0, 4>(
        dst, regions, labels, rows, cols, step, channel, [](long long) {},
        [=](Numbers<0, 4>& found, long long row, long long x) {
          const double v = double(intensity[row * intensity_cols + x * step + channel]);
          if (v - v == 0) {
            const Figure high = place_of(v), low = ~high;
            if (found.v[0] < high) found.v[0] = high;
            if (found.v[1] < low) found.v[1] = low;
          } else if (is_nan(v)) {
            found.v[2] = 2;
          } else if (v < 0) {
            found.v[3] = 1;
          } else if (found.v[2] == 0) {
            found.v[2] = 1;
          }
        });
}
