// launch: slabs, threads 256
// instances: tile_equalizing<unsigned char, float>
#include "vectors.cuh"

constexpr int BINS = 256, WARPS = BINS / 32, AT_ONCE = 8;

// The sum over the block, returned to all threads.
__device__ __forceinline__ long long block_sum(long long v, long long* scratch) {
  for (int by = 16; by > 0; by /= 2) v += __shfl_xor_sync(0xffffffffu, v, by);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
  __syncthreads();
  long long sum = 0;
  for (int warp = 0; warp < WARPS; ++warp) sum += scratch[warp];
  __syncthreads();
  return sum;
}

// Inclusive prefix sum over the block.
__device__ __forceinline__ long long block_scan(long long v, long long* scratch) {
  const int lane = threadIdx.x % 32, own = threadIdx.x / 32;
  for (int by = 1; by < 32; by *= 2) {
    const long long before = __shfl_up_sync(0xffffffffu, v, by);
    if (lane >= by) v += before;
  }
  if (lane == 31) scratch[own] = v;
  __syncthreads();
  for (int warp = 0; warp < own; ++warp) v += scratch[warp];
  return v;
}

// Counts some columns of a row, separately for each lane of a warp.
template <typename T>
__device__ __forceinline__ void count_columns(const T* line, long long first, long long last, unsigned int* mine) {
  for (long long x = first; x < last; x += 32 * AT_ONCE) {
    T values[AT_ONCE];
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k)
      if (x + 32 * k < last) values[k] = line[x + 32 * k];
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k)
      if (x + 32 * k < last) atomicAdd(mine + 32 * values[k], 1u);
  }
}

// Clips a histogram, one bin per thread, at a limit and redistributes the excess; see tile_equalizing.py.
__device__ __forceinline__ long long clipped(long long count, long long limit, long long* scratch) {
  const int bin = threadIdx.x;
  long long excess = block_sum(count > limit ? count - limit : 0, scratch);
  const long long share = excess / BINS, near = limit - share, before = count < limit ? count : limit;
  count = before < near ? before + share : before;
  if (count >= near && count < limit) count = limit;
  excess -= block_sum(count - before, scratch);
  for (long long given = 1; excess > 0 && given > 0;) {
    given = 0;
    for (int first = 0; first < BINS; ++first) {
      const long long distance = block_sum(count < limit, scratch) / excess, step = distance > 1 ? distance : 1;
      const bool gets = bin >= first && (bin - first) % step == 0 && count < limit;
      const long long added = block_sum(gets, scratch);
      count += gets;
      given += added;
      excess -= added;
      if (excess <= 0 || (added == 0 && step == 1)) break;
    }
  }
  return count;
}

// dst[tile, v] is the share of the tile's pixels in the bin of v and those below, times `scale`. One block per table.
template <typename T, typename U>
__global__ void __launch_bounds__(256)
    tile_equalizing(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                    long long top, long long bottom, long long tile_rows, long long tile_cols, const unsigned char* bins,
                    long long bin_rows, long long bin_cols, double clip_limit, double scale) {
  __shared__ unsigned int lanes[32 * BINS];
  __shared__ unsigned long long sums[BINS];
  __shared__ long long scratch[WARPS];
  const int own = threadIdx.x, lane = own % 32;
  for (int i = own; i < 32 * BINS; i += BINS) lanes[i] = 0;
  sums[own] = 0;
  __syncthreads();

  const long long tile = top + blockIdx.y, across = (cols + tile_cols - 1) / tile_cols;
  const long long first_row = tile / across * tile_rows, first_col = tile % across * tile_cols;
  const long long end = first_col + tile_cols, last_col = end < cols ? end : cols, reflected = 2 * cols - 1 - end;
  for (long long row = first_row + own / 32; row < first_row + tile_rows; row += WARPS) {
    const T* line = src + (row < rows ? row : 2 * (rows - 1) - row) * cols;
    count_columns(line, first_col + lane, last_col, lanes + lane);
    count_columns(line, reflected + lane, cols - 1, lanes + lane);
  }
  __syncthreads();
  unsigned long long count = 0;
  for (int i = 0; i < 32; ++i) count += lanes[32 * own + (i + lane) % 32];
  atomicAdd(sums + bins[own], count);
  __syncthreads();

  const long long area = tile_rows * tile_cols, wanted = (long long)(clip_limit * double(area));
  const long long limit = clip_limit > 0 ? (wanted > 1 ? wanted : 1) : area;
  const long long below = block_scan(clipped((long long)sums[own], limit, scratch), scratch);
  sums[own] = (unsigned long long)below;
  __syncthreads();
  const double share = double((long long)sums[bins[own]]) / double(area);
  dst[tile * dst_cols + own] = U((share < 1 ? share : 1) * scale);
}
