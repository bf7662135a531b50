// instances: region_areas<int>; few_areas<int>
#include "counting.cuh"
#include "region_tables.cuh"

// For few regions, each block counts in shared memory: in noise all threads would wait for a few numbers.
template <typename T>
__global__ void __launch_bounds__(256) few_areas(unsigned long long* dst, long long regions, long long numbers,
                                                 const T* labels, long long rows, long long cols) {
  __shared__ unsigned int counts[SHARED_BINS];
  int shift = 5;
  while (regions << shift > SHARED_BINS) --shift;
  const int copies = 1 << shift, own = threadIdx.x & (copies - 1), known = int(regions);
  for (int i = threadIdx.x; i < known << shift; i += blockDim.x) counts[i] = 0;
  __syncthreads();
  each_value<true, true>(
      labels, rows * cols, 1, 0,
      [&](T label, int) {
        if (label > 0 && label < known) atomicAdd(counts + ((label << shift) + own), 1u);
      },
      [](T) {});
  __syncthreads();
  for (int i = threadIdx.x; i < known; i += blockDim.x) {
    unsigned int total = 0;
    for (int copy = 0; copy < copies; ++copy) total += counts[(i << shift) + ((copy + threadIdx.x) & (copies - 1))];
    if (total > 0) atomicAdd(dst + i, (unsigned long long)total);
  }
}

template <typename T>
__global__ void __launch_bounds__(128) region_areas(unsigned long long* dst, long long regions, long long numbers,
                                                    const T* labels, long long rows, long long cols) {
  each_strip<1, 1>(
      dst, regions, labels, rows, cols, 1, 0, [](long long) {},
      [](Numbers<1, 1>& found, long long, long long) { found.v[0] += 1; });
}
