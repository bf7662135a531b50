// launch: tile 32x8, pixels 1x4
// instances: peak_spacing<unsigned char, unsigned char>; settled_peaks<unsigned char, unsigned char>
#include "unions.cuh"

// Keeps peaks at least `distance` rows or columns apart, in place, the first ones in raster order. In parallel: a peak
// is dropped once an earlier peak that is too close is known to be kept, and kept once all such earlier peaks are known
// to be dropped. Every order of these steps has the same result, so blocks may read each other's peaks while these
// change. A block repeats them in its tile while anything changes, and all blocks repeat while the previous round has
// left peaks undecided.
constexpr unsigned char DROPPED = 0, UNDECIDED = 1, KEPT = 2;
constexpr int ROWS = 4;  // of a warp

// Store a state that other threads may be reading.
__device__ __forceinline__ void put(unsigned char* p, unsigned char state) {
#if defined(__CUDA_ARCH__)
  *const_cast<volatile unsigned char*>(p) = state;
#else
  __atomic_store_n(p, state, __ATOMIC_RELAXED);
#endif
}

// Decide a peak, with all lanes of a warp: they read the peaks before the one at (row, x) that are too close to it.
__device__ __forceinline__ unsigned char decided(const unsigned char* peaks, long long cols, long long row, long long x,
                                                 long long step, long long distance, long long reach) {
  const int lane = threadIdx.x;
  const long long end = x + reach < cols ? x + reach + 1 : cols;
  bool open = false;
  const long long above = row + 1 < distance ? row + 1 : distance;
#pragma unroll 1
  for (long long y = row; y > row - above; --y) {
    const long long last = y == row ? x : end;
    bool kept = false;
#pragma unroll 1
    for (long long at = x - reach + lane * step; at < last; at += 32 * step) {
      if (at < 0) continue;
      const unsigned char state = seen(peaks + y * cols + at);
      kept = kept || state == KEPT;
      open = open || state == UNDECIDED;
    }
    if (__any_sync(ALL_LANES, kept)) return DROPPED;
  }
  return __any_sync(ALL_LANES, open) ? UNDECIDED : KEPT;
}

template <typename T, typename U>
__global__ void __launch_bounds__(256)
    peak_spacing(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                 long long top, long long bottom, long long* undecided, long long rounds, long long step,
                 long long distance, long long reach, long long round) {
  if (round > 0 && undecided[round - 1] == 0) return;
  __shared__ int active;
  const int lane = threadIdx.x;
  const long long x = (long long)blockIdx.x * 32 + lane;
  const long long first = top + ((long long)blockIdx.y * blockDim.y + threadIdx.y) * ROWS;
  bool open;
#pragma unroll 1
  do {
    bool changed = false;
    open = false;
    unsigned mine = 0;
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
      const bool inside = first + k < bottom && x < cols;
      if (inside && seen(dst + (first + k) * cols + x) == UNDECIDED) mine |= 1u << k;
    }
#pragma unroll 1
    for (int k = 0; k < ROWS; ++k) {
      const long long row = first + k;
      U* const line = dst + row * cols;
      const Word32 peaks = __ballot_sync(ALL_LANES, mine >> k & 1);
      // A peak next to an undecided one waits for it.
      Word32 left = step < 32 && distance > 1 ? peaks & ~(peaks << step) : peaks;
      open = open || left != peaks;
#pragma unroll 1
      for (; left != 0; left &= left - 1) {
        const int bit = lowest_of(left);
        const unsigned char state = decided(dst, cols, row, x - lane + bit, step, distance, reach);
        if (state == UNDECIDED) open = true;
        else if (lane == 0) put(line + x + bit, state);
        changed = changed || state != UNDECIDED;
      }
      __syncwarp();
    }
    __syncthreads();
    if (threadIdx.y == 0 && lane == 0) active = 0;
    __syncthreads();
    if (lane == 0 && changed) atomicOr(&active, 1);
    __syncthreads();
  } while (active != 0);
  if (open && lane == 0) atomicOr(reinterpret_cast<unsigned long long*>(undecided + round), 1ULL);
}

// Set kept peaks to 1 again.
template <typename T, typename U>
__global__ void __launch_bounds__(256)
    settled_peaks(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                  long long top, long long bottom) {
  const long long x = (long long)blockIdx.x * 32 + threadIdx.x;
#pragma unroll
  for (int k = 0; k < ROWS; ++k) {
    const long long row = top + ((long long)blockIdx.y * blockDim.y + threadIdx.y) * ROWS + k;
    if (row < bottom && x < cols) dst[row * cols + x] = src[row * cols + x] != DROPPED;
  }
}
