// Counting values in bins: what histogram and bincount share. Blocks count in shared memory, each warp in a copy of its own
// where several fit, and add to the row of the result, which holds zeros before.
#pragma once
#include "vectors.cuh"

constexpr int SHARED_BINS = 8192;

__device__ __forceinline__ void add_count(unsigned int* to, unsigned int count) { atomicAdd(to, count); }
__device__ __forceinline__ void add_count(long long* to, unsigned int count) {
  atomicAdd(reinterpret_cast<unsigned long long*>(to), (unsigned long long)count);
}

// The slab of `count` elements from src on, `step` of them a pixel; bin_of(value, channel) is a bin, or -1 for none.
template <typename T, typename U, typename BinOf>
__device__ __forceinline__ void count_values(const T* src, long long count, long long step, U* row, long long bins,
                                             BinOf bin_of) {
  constexpr int N = 16 / sizeof(T);
  __shared__ unsigned int shared_bins[SHARED_BINS];
  const bool shared = bins <= SHARED_BINS;
  const int copies = shared ? min(int(blockDim.x / 32), SHARED_BINS / int(bins)) : 0;
  for (int i = threadIdx.x; i < copies * int(bins); i += blockDim.x) shared_bins[i] = 0;
  __syncthreads();

  unsigned int* const mine = shared_bins + (shared ? threadIdx.x / 32 % copies * int(bins) : 0);
  const auto flush = [&](long long bin, unsigned int run) {
    if (run == 0 || bin < 0) return;
    if (shared)
      atomicAdd(mine + bin, run);
    else
      add_count(row + bin, run);
  };
  const int lead = int(address_of(src) / sizeof(T) % N);
  const long long stride = (long long)gridDim.x * blockDim.x * N;
  for (long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * N - lead; first < count; first += stride) {
    Pack<T, N> in;
    load<T, N>(src + first, src, src + count, in);
    long long channel = step == 1 ? 0 : (first + N * step) % step;
    long long last = -1;  // equal neighbours are added at once: flat areas would make all threads wait for one bin
    unsigned int run = 0;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (first + i >= 0 && first + i < count) {
        const long long bin = bin_of(in.v[i], channel);
        if (bin != last) {
          flush(last, run);
          last = bin;
          run = 0;
        }
        ++run;
      }
      channel = channel + 1 == step ? 0 : channel + 1;
    }
    flush(last, run);
  }

  __syncthreads();
  for (int i = threadIdx.x; shared && i < int(bins); i += blockDim.x) {
    unsigned int total = 0;
    for (int copy = 0; copy < copies; ++copy) total += shared_bins[copy * int(bins) + i];
    if (total > 0) add_count(row + i, total);
  }
}
