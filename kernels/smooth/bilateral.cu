// launch: tile 32x8, pixels 4x1
// instances: bilateral<T, A>; near_bilateral<T, A, 1>; near_bilateral<T, A, 3>
#include "borders.cuh"
#include "columns.cuh"
#include "numbers.cuh"

// Means of windows, weighted by how near and how alike the others are, in all channels together; as on the CPU, in the
// same order.

constexpr int THREADS = 256, WIDTH = 32;
// Results of a thread, one below the other: as many as registers hold.
template <typename A>
constexpr int DOWN_OF = sizeof(A) == 8 ? 2 : 4;
constexpr long long CHUNK = 128;  // of the window, summed up by itself

// Additions with it leave the last digits for a whole number.
template <typename A>
constexpr A MAGIC = 12582912.0f;
template <>
constexpr double MAGIC<double> = 6755399441055744.0;

__device__ __forceinline__ float scaled(float power, float moved) {
  return __int_as_float(int(unsigned(__float_as_int(power)) - (unsigned(__float_as_int(moved)) << 23)));
}
__device__ __forceinline__ double scaled(double power, double moved) {
  typedef unsigned long long Bits;
  return __longlong_as_double((long long)(Bits(__double_as_longlong(power)) - (Bits(__double_as_longlong(moved)) << 52)));
}

// 2 ** -halvings by a polynomial.
template <typename T, typename A>
struct Powers {
  static constexpr int terms = sizeof(A) == 8 ? 11 : sizeof(T) == 1 ? 4 : 6;
  A coefficients[terms];

  __device__ __forceinline__ explicit Powers(const A* from) {
#pragma unroll
    for (int i = 0; i < terms; ++i) coefficients[i] = __ldg(from + i);
  }

  __device__ __forceinline__ A operator()(A halvings) const {
    const A moved = halvings + MAGIC<A>, rest = halvings - (moved - MAGIC<A>);
    A power = coefficients[terms - 1];
#pragma unroll
    for (int i = terms - 2; i >= 0; --i) power = coefficients[i] + power * rest;
    return scaled(power, moved);
  }
};

// A block keeps its part of the image in shared memory, each channel by itself.
template <typename T, typename A, int CHANNELS>
__global__ void __launch_bounds__(256, 2)
    near_bilateral(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                   long long top, long long bottom, long long step, long long mode, double cval, long long size,
                   const long long* places, long long count, long long axes, const A* exponents,
                   long long others, const A* powers, long long terms, double factor, double scale, double limit) {
  DYNAMIC_SHARED(A, tile);
  constexpr int DOWN = DOWN_OF<A>, HEIGHT = THREADS / 32 * DOWN;
  const int side = int(size), high = HEIGHT + side - 1, wide = WIDTH + side - 1;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const long long first = top + (long long)blockIdx.y * HEIGHT, left = (long long)blockIdx.x * WIDTH;
  const int loaded = (bottom - first < HEIGHT ? int(bottom - first) : HEIGHT) + side - 1;  // no others may be read
#pragma unroll 1
  for (int i = warp; i < high; i += THREADS / 32) {
    const long long row = fold(first - side / 2 + min(i, loaded - 1), rows, mode);
#pragma unroll 1
    for (int x = lane; x < wide; x += 32) {
      const long long col = fold(left - side / 2 + x, cols / CHANNELS, mode);
#pragma unroll
      for (int c = 0; c < CHANNELS; ++c)
        tile[(c * high + i) * wide + x] =
            A(row < 0 || col < 0 ? T(cval) : __ldg(src + row * cols + col * CHANNELS + c));
    }
  }
  __syncthreads();
  const Powers<T, A> power(powers);
  const A scaling = A(factor), farthest = A(limit);
  const A* const from = tile + warp * DOWN * wide + lane;
  A own[DOWN][CHANNELS], totals[DOWN][CHANNELS] = {}, weights[DOWN];
#pragma unroll
  for (int j = 0; j < DOWN; ++j) {
    weights[j] = A(1);
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) own[j][c] = from[(c * high + j + side / 2) * wide + side / 2];
  }
#pragma unroll 1
  for (long long begin = 0; begin < count; begin += CHUNK) {
    A parts[DOWN][CHANNELS] = {}, part[DOWN] = {};
    const long long end = min(begin + CHUNK, count);
#pragma unroll 1
    for (long long k = begin; k < end; ++k) {
      const A* const other = from + int(__ldg(places + 2 * k)) * wide + int(__ldg(places + 2 * k + 1));
      const A exponent = __ldg(exponents + k);
#pragma unroll
      for (int j = 0; j < DOWN; ++j) {
        A each[CHANNELS], halvings = exponent;
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) {
          each[c] = (other[(c * high + j) * wide] - own[j][c]) * scaling;
          halvings += each[c] * each[c];
        }
        if (!(halvings <= farthest)) continue;
        const A weight = power(halvings);
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) parts[j][c] += weight * each[c];
        part[j] += weight;
      }
    }
#pragma unroll
    for (int j = 0; j < DOWN; ++j) {
      weights[j] += part[j];
#pragma unroll
      for (int c = 0; c < CHANNELS; ++c) totals[j][c] += parts[j][c];
    }
  }
#pragma unroll
  for (int j = 0; j < DOWN; ++j) {
    const long long row = first + warp * DOWN + j;
    if (row >= bottom || (left + lane) * CHANNELS >= cols) break;
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c)
      dst[row * cols + (left + lane) * CHANNELS + c] =
          rounded<T>(own[j][c] + totals[j][c] / weights[j] * A(scale));
  }
}

// Windows too large for shared memory, and other numbers of channels: each channel of the result by itself.
template <typename T, typename A>
__global__ void bilateral(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, long long mode, double cval,
                          long long size, const long long* places, long long count, long long axes, const A* exponents,
                          long long others, const A* powers, long long terms, double factor, double scale,
                          double limit) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const Powers<T, A> power(powers);
    const long long pixel = x / step, channel = x - pixel * step;
    const T* const own = src + row * cols + pixel * step;
    A total = A(0), weights = A(1);
#pragma unroll 1
    for (long long begin = 0; begin < count; begin += CHUNK) {
      A part = A(0), some = A(0);
      const long long end = min(begin + CHUNK, count);
#pragma unroll 1
      for (long long k = begin; k < end; ++k) {
        const long long r = fold(row + __ldg(places + 2 * k) - size / 2, rows, mode);
        const long long c = fold(pixel + __ldg(places + 2 * k + 1) - size / 2, cols / step, mode);
        const T* const other = r < 0 || c < 0 ? nullptr : src + r * cols + c * step;
        A halvings = __ldg(exponents + k), mine = A(0);
#pragma unroll 1
        for (long long i = 0; i < step; ++i) {
          const A each = (A(other ? __ldg(other + i) : T(cval)) - A(__ldg(own + i))) * A(factor);
          halvings += each * each;
          if (i == channel) mine = each;
        }
        if (!(halvings <= A(limit))) continue;
        const A weight = power(halvings);
        part += weight * mine;
        some += weight;
      }
      total += part;
      weights += some;
    }
    dst[row * cols + x] = rounded<T>(A(own[channel]) + total / weights * A(scale));
  });
}
