// Count values in bins: code shared by histogram and bincount. Blocks count in shared memory and add their counts to a
// row of the result, which must hold zeros at the start.
#pragma once
#include "vectors.cuh"

constexpr int SHARED_BINS = 8192;
constexpr int FEW_BINS = SHARED_BINS / 32;  // at most so many bins: each lane of a warp has separate counts

__device__ __forceinline__ void add_count(unsigned int* to, unsigned int count) { atomicAdd(to, count); }
__device__ __forceinline__ void add_count(long long* to, unsigned int count) {
  atomicAdd(reinterpret_cast<unsigned long long*>(to), (unsigned long long)count);
}

// Counts in device memory. Runs of equal bins are added at once: in flat areas all threads would wait for one bin.
template <typename U>
struct Runs {
  U* row;
  long long last = -1;
  unsigned int length = 0;

  __device__ __forceinline__ void add(long long bin) {
    if (bin != last) {
      flush();
      last = bin;
      length = 0;
    }
    ++length;
  }
  __device__ __forceinline__ void flush() const {
    if (last >= 0) add_count(row + last, length);
  }
};

// Call quick(value, base) for `count` elements from src on, `step` per pixel (one if GRAY), divided among all blocks of
// a slab; the bins of a channel begin at `base`, `size` after those of the previous channel. Unless SURE, quick returns
// whether it succeeded, and rest(value) is called if not.
template <bool GRAY, bool SURE, typename Index, typename T, typename Quick, typename Rest>
__device__ __forceinline__ void each_value(const T* src, long long count, int step, Index size, Quick quick,
                                           Rest rest) {
  constexpr int N = 16 / sizeof(T), TURNS = sizeof(T) == 1 || sizeof(T) == 8 ? 2 : 4;  // loads in flight
  const int lead = int(address_of(src) / sizeof(T) % N);
  const long long stride = (long long)gridDim.x * blockDim.x * N;
  const Index end = step * size;
  long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * N - lead;
  int channel = GRAY ? 0 : int((first + (long long)N * step) % step);
  const int ahead = GRAY ? 0 : int(stride % step);
  for (; first < count; first += TURNS * stride) {
    Pack<T, N> in[TURNS];
    unsigned left = 0;
#pragma unroll
    for (int k = 0; k < TURNS; ++k) {
      const long long at = first + k * stride;
      if (at >= 0 && at + N <= count) load_aligned<T, N>(src + at, in[k]);
    }
#pragma unroll
    for (int k = 0; k < TURNS; ++k) {
      const long long at = first + k * stride;
      Index base = GRAY ? Index(0) : channel * size;
      if (at >= 0 && at + N <= count) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
          if constexpr (SURE)
            quick(in[k].v[i], base);
          else
            left |= quick(in[k].v[i], base) ? 0u : 1u << (k * N + i);
          if constexpr (!GRAY) base = base + size == end ? Index(0) : base + size;
        }
      } else {
#pragma unroll 1
        for (int i = 0; i < N; ++i) {
          if (at + i >= 0 && at + i < count) {
            if constexpr (SURE)
              quick(src[at + i], base);
            else
              left |= 1u << (k * N + i);
          }
          if constexpr (!GRAY) base = base + size == end ? Index(0) : base + size;
        }
      }
      if constexpr (!GRAY) {
        channel += ahead;
        if (channel >= step) channel -= step;
      }
    }
    if constexpr (!SURE) {
#pragma unroll 1
      for (; left != 0; left &= left - 1) {
        const int place = __ffs(left) - 1;
        rest(src[first + place / N * stride + place % N]);
      }
    }
  }
}

// Count a slab of `count` elements starting at src. quick(value, base) returns a bin. Unless SURE, there are at most
// SHARED_BINS bins and it may return -1; then search(value) returns the bin, or -1 for none.
template <bool SURE, typename T, typename U, typename Quick, typename Search>
__device__ __forceinline__ void count_values(const T* src, long long count, long long step, U* row, long long bins,
                                             Quick quick, Search search) {
  const auto nothing = [](T) {};
  if constexpr (SURE) {
    if (bins > SHARED_BINS) {
      Runs<U> runs = {row};
      each_value<false, true>(
          src, count, int(step), bins / step, [&](T value, long long base) { runs.add(quick(value, base)); }, nothing);
      runs.flush();
      return;
    }
  }

  if constexpr (!SURE || sizeof(T) == 1) {
    // Lanes count separately, in as many copies as fit. The copies of one bin are adjacent in memory, so that lanes of
    // different copies conflict neither in a bin nor in a bank.
    __shared__ __align__(16) unsigned int counts[SHARED_BINS];
    int shift = 5;
    while (bins << shift > SHARED_BINS) --shift;
    const int copies = 1 << shift, own = threadIdx.x & (copies - 1);
    for (int i = threadIdx.x; i < int(bins) << shift; i += blockDim.x) counts[i] = 0;
    __syncthreads();
    if constexpr (!SURE) {
      const auto add = [&](int bin) {
        if (bin >= 0) atomicAdd(counts + ((bin << shift) + own), 1u);
        return bin >= 0;
      };
      each_value<true, false>(
          src, count, 1, 0, [&](T value, int base) { return add(quick(value, base)); },
          [&](T value) { add(int(search(value))); });
    } else if (step == 1 && bins <= FEW_BINS) {
      unsigned int* const mine = counts + own;
      each_value<true, true>(
          src, count, 1, 0, [&](T value, int) { atomicAdd(mine + 32 * quick(value, 0), 1u); }, nothing);
    } else {
      each_value<false, true>(
          src, count, int(step), int(bins / step),
          [&](T value, int base) { atomicAdd(counts + ((quick(value, base) << shift) + own), 1u); }, nothing);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < int(bins); i += blockDim.x) {
      unsigned int total = 0;
      for (int copy = 0; copy < copies; ++copy) total += counts[(i << shift) + ((copy + threadIdx.x) & (copies - 1))];
      if (total > 0) add_count(row + i, total);
    }
  }
}
