// launch: tile 128x1, pixels 1x1
// instances: along<long long, long long>; along<double, double>; channels<I, long long>; channels<F, double>
// instances: channels<long long, long long>; down<long long>; down<double>; starts<I, long long>; starts<F, double>
// instances: sweep<I, long long>; sweep<F, double>
#include "numbers.cuh"
#include "slabs.cuh"
#include "vectors.cuh"

// Sums of all pixels above and to the left, in the CPU's order of additions: prefix sums along the rows in blocks of
// LANES, by steps of one, two and four within a block (W. D. Hillis, G. L. Steele, "Data parallel algorithms",
// Communications of the ACM 29, 1986) and sequentially from block to block; then down the rows of each slab.
constexpr int LANES = 8, THREADS = 128;

// The accumulator within a block of LANES: sums of short integers fit 32 bits.
template <typename T, typename S, bool WHOLE = sizeof(T) <= 2>
struct Within {
  typedef int Type;
};
template <typename T, typename S>
struct Within<T, S, false> {
  typedef S Type;
};

template <typename S>
__device__ __forceinline__ void sum_block(S (&sums)[LANES]) {
#pragma unroll
  for (int shift = 1; shift < LANES; shift *= 2) {
#pragma unroll
    for (int i = LANES - 1; i >= 0; --i) sums[i] = sums[i] + (i >= shift ? sums[i - shift] : S(0));
  }
}

// Prefix sums along rows of one channel, one thread block per row: each thread sums one block of LANES elements at a
// time, and one thread accumulates the blocks' sums.
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
      sum_block(sums);
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
  }
  if (threadIdx.x == 0) {
    S sum = total;
    for (long long x = whole; x < cols; ++x) {
      sum = sum + S(line[x]);
      out[x] = sum;
    }
  }
}

// The same for several channels, each summed pixel by pixel: one thread per row and channel.
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

// Prefix sums down the rows of slabs, in place, from `above` on: one thread per column of a slab.
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

// Prefix sums of a block of LANES elements at `p`; only elements from `begin` to `end` may be read.
template <typename T, typename N>
__device__ __forceinline__ void block_sums(const T* begin, const T* end, const T* p, N (&sums)[LANES]) {
  Pack<T, LANES> values;
  load<T, LANES>(p, begin, end, values);
#pragma unroll
  for (int i = 0; i < LANES; ++i) sums[i] = N(values.v[i]);
  sum_block(sums);
}

// Exclusive prefix sums of the blocks along rows of one channel: ROWS rows per thread block, accumulated by the lanes
// of a warp, one per row.
constexpr int ROWS = 32;
template <typename T, typename S>
__global__ void __launch_bounds__(256)
    starts(const T* src, long long rows, long long cols, S* dst, long long dst_rows, long long dst_cols, long long top,
           long long bottom) {
  typedef typename Within<T, S>::Type N;
  constexpr int WARPS = 256 / 32;
  __shared__ S held[2][ROWS][33];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const long long first = top + (long long)blockIdx.x * ROWS, whole = cols / LANES;
  const int count = int(min((long long)ROWS, bottom - first));
  const T *const begin = src + first * cols, *const end = src + (first + count) * cols;
  S total = S(0);
  int turn = 0;
  for (long long start = 0; start < dst_cols; start += 32, turn ^= 1) {
#pragma unroll
    for (int k = 0; k < ROWS / WARPS; ++k) {
      const int row = warp + k * WARPS;
      if (row >= count || start + lane >= whole) continue;
      N sums[LANES];
      block_sums(begin, end, begin + row * cols + (start + lane) * LANES, sums);
      held[turn][row][lane] = S(sums[LANES - 1]);
    }
    __syncthreads();
    if (warp == 0 && lane < count) {
      const int blocks = int(min(32ll, dst_cols - start));
      for (int i = 0; i < blocks; ++i) {
        const S sum = held[turn][lane][i];
        held[turn][lane][i] = total;
        if (start + i < whole) total = total + sum;
      }
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < ROWS / WARPS; ++k) {
      const int row = warp + k * WARPS;
      if (row < count && start + lane < dst_cols)
        dst[(first + row) * dst_cols + start + lane] = held[turn][row][lane];
    }
  }
}

// The table of THREADS columns of a slab, from the sums above it and before each block. A thread sums one block of one
// of GROUP rows, then a column of these rows.
constexpr int GROUP = 8, PADDED = THREADS + THREADS / LANES;  // padding: stores of blocks go to different banks
template <typename T, typename S>
__global__ void __launch_bounds__(THREADS)
    sweep(const S* above, long long slabs, long long above_cols, const T* src, long long rows, long long cols,
          const S* before, long long before_rows, long long before_cols, S* dst, long long dst_rows, long long dst_cols,
          long long top, long long height, long long parts) {
  typedef typename Within<T, S>::Type N;
  __shared__ S tile[2][GROUP][PADDED];
  const long long slab = top + blockIdx.x / parts, left = blockIdx.x % parts * THREADS;
  const long long first = slab * height, last = min(first + height, rows);
  const int block = threadIdx.x % (THREADS / LANES), row = threadIdx.x / (THREADS / LANES);
  const long long x = left + block * LANES, column = left + threadIdx.x;
  const T *const begin = src + first * cols, *const end = src + last * cols;
  S sums[LANES];
  const auto load_row = [&](long long y) {
    if (y >= last || x >= cols) return;
    const S start = before[y * before_cols + x / LANES];
    if (x + LANES <= cols) {
      N found[LANES];
      block_sums(begin, end, src + y * cols + x, found);
#pragma unroll
      for (int i = 0; i < LANES; ++i) sums[i] = S(found[i]) + start;
    } else {  // sequentially
      S total = start;
#pragma unroll
      for (int i = 0; i < LANES; ++i) {
        if (x + i < cols) total = total + S(src[y * cols + x + i]);
        sums[i] = total;
      }
    }
  };
  S total = column < cols ? above[slab * above_cols + column] : S(0);
  int turn = 0;
  load_row(first + row);
  for (long long group = first; group < last; group += GROUP, turn ^= 1) {
#pragma unroll
    for (int i = 0; i < LANES; ++i) tile[turn][row][block * (LANES + 1) + i] = sums[i];
    load_row(group + GROUP + row);
    __syncthreads();
    if (column >= cols) continue;
    const int count = int(min((long long)GROUP, last - group));
#pragma unroll
    for (int i = 0; i < GROUP; ++i) {
      if (i >= count) break;
      total = total + tile[turn][i][threadIdx.x + threadIdx.x / LANES];
      dst[(group + i) * cols + column] = total;
    }
  }
}
