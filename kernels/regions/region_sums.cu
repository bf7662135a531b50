// instances: region_sums<int>
#include "region_tables.cuh"

constexpr Figure FAR = 1ULL << 40;

template <typename T>
__global__ void __launch_bounds__(128) region_sums(unsigned long long* dst, long long regions, long long numbers, const T* labels,
                                                   long long rows, long long cols) {
  each_strip<6, 10>(
      dst, regions, labels, rows, cols, 1, 0, [](long long) {},
      [](Numbers<6, 10>& found, Figure row, Figure x) {
        found.v[0] += 1;
        found.v[1] += row;
        found.v[2] += x;
        found.v[3] += row * row;
        found.v[4] += row * x;
        found.v[5] += x * x;
        if (found.v[6] < FAR - row) found.v[6] = FAR - row;
        found.v[7] = row + 1;
        found.v[8] = FAR - x;
        found.v[9] = x + 1;
      });
}
