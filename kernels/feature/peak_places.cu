// launch: slabs, threads 256
// instances: count_peaks<unsigned char>; collect_peaks<int>; collect_peaks<long long>; range_starts<long long>
// instances: count_digits<M, int>; count_digits<M, long long>; sort_digits<M, int>; sort_digits<M, long long>
#include "unions.cuh"

// The indices of peaks in raster order, then radix-sorted by the bytes of their values. Each warp has a separate range:
// it counts its items, and prefix sums over the ranges give their positions.
constexpr int WARPS = 8, DIGITS = 256;
constexpr long long PIXELS = 4096, PLACES = 2048;  // in a range
constexpr int UNSIGNED = 0, FLOAT = 2;             // kinds, as in peak_places.py

__device__ __forceinline__ long long own_range() { return (long long)blockIdx.x * WARPS + threadIdx.x / 32; }

__device__ __forceinline__ long long end_of(long long first, long long each, long long count) {
  return first + each < count ? first + each : count;
}

template <typename T>
__global__ void __launch_bounds__(256) count_peaks(const T* peaks, long long rows, long long cols, long long* counts,
                                                   long long one, long long ranges) {
  const long long range = own_range(), size = rows * cols, first = range * PIXELS;
  if (range >= ranges) return;
  const long long last = end_of(first, PIXELS, size);
  int count = 0;
#pragma unroll 8
  for (long long at = first + threadIdx.x % 32; at < last; at += 32) count += peaks[at] != 0;
#pragma unroll
  for (int by = 16; by > 0; by /= 2) count += __shfl_xor_sync(ALL_LANES, count, by);
  if (threadIdx.x % 32 == 0) counts[range] = count;
}

// Inclusive prefix sums over the lanes of a warp.
template <typename N>
__device__ __forceinline__ N sum_up_to(N own) {
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    const N other = __shfl_up_sync(ALL_LANES, own, by);
    if (int(threadIdx.x % 32) >= by) own += other;
  }
  return own;
}

// Exclusive prefix sums of each row of counts, one warp per row; the totals go to `totals`.
template <typename N>
__global__ void __launch_bounds__(256)
    range_starts(N* counts, long long rows, long long ranges, N* totals, long long one, long long many) {
  const long long row = own_range();
  if (row >= rows) return;
  N before = 0;
#pragma unroll 4
  for (long long first = 0; first < ranges; first += 32) {
    const long long at = first + threadIdx.x % 32;
    N* const place = counts + row * ranges + at;
    const N own = at < ranges ? *place : 0, sum = sum_up_to(own);
    if (at < ranges) *place = before + sum - own;
    before += __shfl_sync(ALL_LANES, sum, 31);
  }
  if (threadIdx.x % 32 == 0) totals[row] = before;
}

template <typename P>
__global__ void __launch_bounds__(256)
    collect_peaks(const unsigned char* peaks, long long rows, long long cols, const long long* starts, long long one,
                  long long ranges, P* places, long long again, long long room) {
  const long long range = own_range(), size = rows * cols, first = range * PIXELS;
  if (range >= ranges) return;
  const int lane = threadIdx.x % 32;
  const long long last = end_of(first, PIXELS, size);
  P* to = places + starts[range];
#pragma unroll 8
  for (long long at = first; at < last; at += 32) {
    const Word32 found = __ballot_sync(ALL_LANES, at + lane < last && peaks[at + lane] != 0);
    if (found >> lane & 1) to[__popc(found & ((1u << lane) - 1))] = P(at + lane);
    to += __popc(found);
  }
}

// A byte of the sort key, which decreases with the value.
template <typename T>
__device__ __forceinline__ int digit_of(T bits, long long kind, long long shift) {
  constexpr T SIGN = T(T(1) << (8 * sizeof(T) - 1)), EVERY = T(~T(0));
  T key = kind == UNSIGNED ? T(EVERY ^ bits) : T(EVERY ^ SIGN ^ bits);
  if (kind == FLOAT && (bits & SIGN) != 0) key = bits != SIGN ? bits : T(EVERY ^ SIGN);  // -0 equals 0
  return int(key >> shift) & (DIGITS - 1);
}

template <typename T, typename P>
__global__ void __launch_bounds__(256)
    count_digits(const T* image, long long rows, long long cols, const P* places, long long one, long long room,
                 long long* counts, long long digits, long long ranges, long long count, long long kind,
                 long long shift) {
  __shared__ int all[WARPS * DIGITS];
  const long long range = own_range(), first = range * PLACES, last = end_of(first, PLACES, count);
  const int lane = threadIdx.x % 32;
  int* const own = all + threadIdx.x / 32 * DIGITS;
  for (int digit = lane; digit < DIGITS; digit += 32) own[digit] = 0;
  __syncwarp();
#pragma unroll 4
  for (long long at = first + lane; at < last; at += 32) atomicAdd(own + digit_of(image[places[at]], kind, shift), 1);
  __syncwarp();
  if (range < ranges)
    for (int digit = lane; digit < DIGITS; digit += 32) counts[digit * ranges + range] = own[digit];
}

// The lanes with the same digit.
__device__ __forceinline__ Word32 alike(Word32 active, int digit) {
  Word32 same = active;
#pragma unroll
  for (int bit = 0; bit < 8; ++bit) {
    const Word32 ones = __ballot_sync(ALL_LANES, digit >> bit & 1);
    same &= digit >> bit & 1 ? ones : ~ones;
  }
  return same;
}

template <typename T, typename P>
__global__ void __launch_bounds__(256)
    sort_digits(const T* image, long long rows, long long cols, const P* places, long long one, long long room,
                P* sorted, long long again, long long place, const long long* counts, long long digits,
                long long ranges, const long long* totals, long long single, long long sums, long long count,
                long long kind, long long shift) {
  __shared__ long long begins[DIGITS], all[WARPS * DIGITS];
  const long long range = own_range(), first = range * PLACES, last = end_of(first, PLACES, count);
  const int lane = threadIdx.x % 32;
  long long* const own = all + threadIdx.x / 32 * DIGITS;
  if (threadIdx.x < 32) {
    long long before = 0;
    for (int digit = lane; digit < DIGITS; digit += 32) {
      const long long total = totals[digit], sum = sum_up_to(total);
      begins[digit] = before + sum - total;
      before += __shfl_sync(ALL_LANES, sum, 31);
    }
  }
  __syncthreads();
  if (range >= ranges) return;
  for (int digit = lane; digit < DIGITS; digit += 32) own[digit] = begins[digit] + counts[digit * ranges + range];
  __syncwarp();
#pragma unroll 1
  for (long long start = first; start < last; start += 32) {
    const bool inside = start + lane < last;
    const P from = inside ? places[start + lane] : P(0);
    const int digit = inside ? digit_of(image[from], kind, shift) : 0;
    const Word32 same = alike(__ballot_sync(ALL_LANES, inside), digit);
    const int rank = __popc(same & ((1u << lane) - 1));
    if (inside) sorted[own[digit] + rank] = from;
    __syncwarp();
    if (inside && rank == 0) own[digit] += __popc(same);
    __syncwarp();
  }
}
