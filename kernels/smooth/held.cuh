// Weighted sums over windows: vertical ones of columns held in registers, then horizontal ones in shared memory.
#pragma once
#include "numbers.cuh"
#include "tiles.cuh"
#include "vectors.cuh"

static constexpr int OUTPUTS = 8;  // adjacent results computed by a thread: their windows share most values
static constexpr int NEAR_COLUMNS = 256, NEAR_ROWS = 16;  // size of a tile of vertical sums, margins included

// Sums of floating-point values, from the centre outwards in pairs: the same order as on the CPU.
template <typename A>
struct Floating {
  typedef A Wide;
  typedef double Stored;
  const double* weights;
  A outside, tolerance;

  __device__ Floating(const double* weights, double cval, double tolerance)
      : weights(weights), outside(A(cval)), tolerance(A(tolerance)) {}
  __device__ A weight(double stored) const { return A(stored); }
  __device__ A first(A w, A v) const { return w * v; }
  __device__ A pair(A total, A w, A before, A after) const { return total + w * (before + after); }
  __device__ A value(A total) const { return total; }
  __device__ A kept(A total, A centre) const { return constant_kept(total, centre, tolerance); }
  template <typename T>
  __device__ T result(A total) const {
    return rounded<T>(total);
  }
};

// Layout of a tile's vertical sums, by channel: groups of four alternate between two halves, so that the first groups
// of adjacent threads, OUTPUTS sums apart, are 16 bytes apart.
struct Planes {
  int half, pitch;

  __device__ int at(int channel, int index) const {
    return (2 * channel + (index >> 2 & 1)) * half + (index >> 3) * 4 + (index & 3);
  }
  __device__ int group(int channel, int number) const { return 2 * channel * half + number * 4; }
};

// Where a block's tile of ROWS rows lies, and its thread's column, with REACH columns and rows around the results.
template <int REACH, int ROWS>
struct HeldTile {
  int channels, thread, width;
  Planes planes;
  long long row, first, left, above, x;

  __device__ __forceinline__ HeldTile(long long step, long long pixels, long long half, long long top)
      : channels(int(step)), thread(threadIdx.x), width(int(pixels) * channels),
        planes{int(half), 2 * channels * int(half)}, row(top + (long long)blockIdx.y * ROWS),
        first((long long)blockIdx.x * width), left(first - REACH * step), above(row - REACH), x(left + thread) {}
};

// Weighted sums for adjacent pixels; the window of the first begins at values[REACH - radius]. WHOLE says that the radius is
// REACH.
template <int REACH, bool WHOLE = false, int COUNT, typename Sum>
__device__ __forceinline__ void weigh_held(const Sum& sum, const float* weights, int radius,
                                           const float (&values)[COUNT + 2 * REACH], float (&totals)[COUNT]) {
#pragma unroll
  for (int j = 0; j < COUNT; ++j) totals[j] = sum.first(weights[0], values[REACH + j]);
#pragma unroll
  for (int k = 1; k <= REACH; ++k) {
    if (!WHOLE && k > radius) break;
    const float weight = weights[k];
#pragma unroll
    for (int j = 0; j < COUNT; ++j)
      totals[j] = sum.pair(totals[j], weight, values[REACH + j - k], values[REACH + j + k]);
  }
#pragma unroll
  for (int j = 0; j < COUNT; ++j) totals[j] = sum.kept(totals[j], values[REACH + j]);
}

// Weighted sums for a group of adjacent pixels of a row; its first four values are at `from`.
template <int REACH, typename Sum>
__device__ __forceinline__ void weigh_row_held(const Sum& sum, const float* weights, int radius, const float* from,
                                               int half, float (&totals)[OUTPUTS]) {
  float held[OUTPUTS + 2 * REACH];
#pragma unroll
  for (int i = 0; i < OUTPUTS + 2 * REACH; i += 4)
    *reinterpret_cast<float4*>(held + i) =
        *reinterpret_cast<const float4*>(from + (i / 4 % 2 ? half : 0) + i / 8 * 4);
  weigh_held<REACH>(sum, weights, radius, held, totals);
}

// Store the sums of OUTPUTS pixels of a row in a tile of results.
template <typename Sum, typename A, typename U>
__device__ __forceinline__ void keep(const Sum& sum, const A (&totals)[OUTPUTS], U* to, int step) {
  if (step == 1) {
    constexpr int BYTES = OUTPUTS * sizeof(U), PART = BYTES < 16 ? BYTES : 16;
    typedef typename Word<PART>::type W;
    union {
      U values[OUTPUTS];
      W words[BYTES / PART];
    } u;
#pragma unroll
    for (int j = 0; j < OUTPUTS; ++j) u.values[j] = sum.template result<U>(totals[j]);
#pragma unroll
    for (int i = 0; i < BYTES / PART; ++i) reinterpret_cast<W*>(to)[i] = u.words[i];
  } else {
#pragma unroll
    for (int j = 0; j < OUTPUTS; ++j) to[j * step] = sum.template result<U>(totals[j]);
  }
}

// Store a row of results by a warp; in shared memory `gap` elements follow each `length`. By fours if `aligned`.
template <typename T>
__device__ __forceinline__ void store_row(const T* results, int gap, int length, T* target, int filled, bool aligned) {
  typedef typename Word<4 * sizeof(T)>::type Four;
  const int lane = threadIdx.x % 32;
  if (aligned) {
#pragma unroll
    for (int x = 0; x < NEAR_COLUMNS; x += 4 * 32) {
      const int at = x + 4 * lane;
      const T* const from = results + (gap ? at + quotient(at, length) * gap : at);
      if (at < filled) *reinterpret_cast<Four*>(target + at) = *reinterpret_cast<const Four*>(from);
    }
  } else {
#pragma unroll 1
    for (int x = lane; x < filled; x += 32) target[x] = results[x + quotient(x, length) * gap];
  }
}
