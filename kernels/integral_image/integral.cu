// launch: tile 128x1, pixels 1x1
// instances: along<I, long long>; along<F, double>; along<long long, long long>; channels<I, long long>
// instances: channels<F, double>; channels<long long, long long>; down<long long>; down<double>
#include "slabs.cuh"

// Sums of all pixels above and to the left, in the CPU's order of additions: along the rows in blocks of LANES, by
// steps of one, two and four within a block (W. D. Hillis, G. L. Steele, "Data parallel algorithms", Communications of
// the ACM 29, 1986) and from block to block one after the other; then down the rows of each slab.
constexpr int LANES = 8, THREADS = 128;

// Sums along rows of one channel, a row each block: every thread has the LANES elements of one block at a time, and one
// thread adds the blocks' sums up.
template <typename T, typename S>
__global__ void __launch_bounds__(THREADS)
    along(const T* src, long long rows, long long cols, S* dst, long long dst_rows, long long dst_cols, long long top) {
  __shared__ S held[THREADS];
  __shared__ S total;
  const T* const line = src + (top + blockIdx.x) * cols;
  S* const out = dst + (top + blockIdx.x) * cols;
  const long long whole = cols / LANES * LANES;
  if (threadIdx.x == 0) total = S(0);
  for (long long start = 0; start < whole; start += THREADS * LANES) {
    const long long at = start + threadIdx.x * LANES;
    S sums[LANES];
    if (at < whole) {
#pragma unroll
      for (int i = 0; i < LANES; ++i) sums[i] = S(line[at + i]);
#pragma unroll
      for (int shift = 1; shift < LANES; shift *= 2) {
#pragma unroll
        for (int i = LANES - 1; i >= 0; --i) sums[i] = sums[i] + (i >= shift ? sums[i - shift] : S(0));
      }
      held[threadIdx.x] = sums[LANES - 1];
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      S before = total;
      for (int i = 0; i < THREADS && start + i * LANES < whole; ++i) {
        const S sum = held[i];
        held[i] = before;
        before = before + sum;
      }
      total = before;
    }
    __syncthreads();
    if (at < whole) {
      const S before = held[threadIdx.x];
#pragma unroll
      for (int i = 0; i < LANES; ++i) out[at + i] = sums[i] + before;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    S sum = total;
    for (long long x = whole; x < cols; ++x) {
      sum = sum + S(line[x]);
      out[x] = sum;
    }
  }
}

// The same for several channels, each summed one pixel after the other: a thread for each row and channel.
template <typename T, typename S>
__global__ void channels(const T* src, long long rows, long long cols, S* dst, long long dst_rows, long long dst_cols,
                         long long top, long long bottom, long long step) {
  const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x, row = top + thread / step;
  if (row >= bottom) return;
  S total = S(0);
  for (long long x = thread % step; x < cols; x += step) {
    total = total + S(src[row * cols + x]);
    dst[row * cols + x] = total;
  }
}

// Sums down the rows of slabs, in place, from `above` on: a thread for each column of a slab.
template <typename S>
__global__ void down(const S* above, long long slabs, long long cols, S* dst, long long dst_rows, long long dst_cols,
                     long long top, long long bottom, long long height) {
  const auto add = [=](long long slab, long long x, long long first, long long last) {
    S total = above[slab * cols + x];
#pragma unroll 8
    for (long long row = first; row < last; ++row) {
      total = total + dst[row * cols + x];
      dst[row * cols + x] = total;
    }
  };
  each_slab_column(dst_rows, cols, top, bottom, height, add);
}
