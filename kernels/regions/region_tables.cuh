// Tables with a row of numbers for each region, see tables.py. A thread works down a strip of one column of the image
// and adds its numbers of a region to the table when another region begins.
#pragma once
#include "vectors.cuh"

typedef unsigned long long Figure;
constexpr int STRIP = 32;  // rows

template <int SUMS, int COUNT>
struct Numbers {
  Figure v[COUNT];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int k = 0; k < COUNT; ++k) v[k] = 0;
  }
  __device__ __forceinline__ void put(Figure* row) const {
#pragma unroll
    for (int k = 0; k < COUNT; ++k) {
      if (v[k] == 0) continue;
      if (k < SUMS)
        atomicAdd(row + k, v[k]);
      else
        atomicMax(row + k, v[k]);
    }
  }
  // Called by all threads of a warp: neighbours are often in one region, for which one of them then adds the total.
  __device__ __forceinline__ void put_together(Figure* table, long long at) {
    constexpr unsigned all = 0xffffffffu;
    const bool same = __all_sync(all, at == __shfl_sync(all, at, 0));
    if (same) {
#pragma unroll
      for (int by = 16; by > 0; by /= 2) {
#pragma unroll
        for (int k = 0; k < COUNT; ++k) {
          const Figure other = __shfl_xor_sync(all, v[k], by);
          v[k] = k < SUMS ? v[k] + other : v[k] > other ? v[k] : other;
        }
      }
    }
    if (at > 0 && (!same || threadIdx.x % 32 == 0)) put(table + at * COUNT);
  }
};

// Calls begin(row of the table) where a region begins and add(numbers, label, row, x) for each pixel of all regions in
// the thread's strip. Blocks have 128 x 1 threads; all threads of a warp must call this.
template <int SUMS, int COUNT, typename Begin, typename Add>
__device__ __forceinline__ void each_strip(Figure* table, long long regions, const int* labels, long long rows,
                                           long long cols, long long step, long long channel, Begin begin, Add add) {
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const long long strips = (rows + STRIP - 1) / STRIP;
  for (long long strip = blockIdx.y; strip < strips; strip += gridDim.y) {
    const long long first = strip * STRIP, last = first + STRIP < rows ? first + STRIP : rows;
    Numbers<SUMS, COUNT> numbers;
    numbers.clear();
    long long at = 0;
    for (long long row = first; row < last && x < cols; ++row) {
      const int label = labels[row * cols + x];
      const long long here = label > 0 && (label + 1LL) * step <= regions ? label * step + channel : 0;
      if (here != at) {
        if (at > 0) numbers.put(table + at * COUNT);
        numbers.clear();
        at = here;
        if (at > 0) begin(at);
      }
      if (at > 0) add(numbers, row, x);
    }
    numbers.put_together(table, at);
  }
}
