// launch: tile 32x8, pixels 4x1
// instances: bilateral<T, A>; near_bilateral<T, A, 1>; near_bilateral<T, A, 3>; byte_bilateral<unsigned char, float>
#include "borders.cuh"
#include "columns.cuh"
#include "numbers.cuh"

// Bilateral filter: means of windows, weighted by spatial distance and by difference in all channels together; in the
// CPU's order of operations.

constexpr int THREADS = 256, WIDTH = 32;
// Results of a thread in a column, limited by registers.
template <typename A>
constexpr int DOWN_OF = sizeof(A) == 8 ? 2 : 4;
constexpr long long CHUNK = 128;  // pixels of the window with a separate partial sum

// Adding it leaves an integer in the last digits.
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

// Forces a number into a register: the compiler would convert it again for each use, or branch around it.
__device__ __forceinline__ float held(float v) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+f"(v));
#endif
  return v;
}
__device__ __forceinline__ double held(double v) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+d"(v));
#endif
  return v;
}

// Load a block's tile from row `top` and pixel `left` on, each channel separately: `high` rows of `wide` pixels, of
// which `loaded` rows may be read.
template <int CHANNELS, typename T, typename A>
__device__ __forceinline__ void load_windows(const T* src, long long rows, long long cols, long long mode, double cval,
                                             long long top, long long left, int loaded, int high, int wide, int pitch,
                                             A* tile) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll 1
  for (int i = warp; i < high; i += THREADS / 32) {
    const long long row = fold(top + min(i, loaded - 1), rows, mode);
#pragma unroll 1
    for (int x = lane; x < wide; x += 32) {
      const long long col = fold(left + x, cols / CHANNELS, mode);
#pragma unroll
      for (int c = 0; c < CHANNELS; ++c)
        tile[(c * high + i) * pitch + x] =
            A(row < 0 || col < 0 ? T(cval) : __ldg(src + row * cols + col * CHANNELS + c));
    }
  }
}

// A pixel of the window: its offset in shared memory, and how often its distance halves the weight.
template <typename A>
struct Near {
  int offset;
  A exponent;
};

// A block keeps its tile in shared memory, each channel separately. No branches depend on the weight: near and far
// values are mixed in a warp.
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
  const int loaded = (bottom - first < HEIGHT ? int(bottom - first) : HEIGHT) + side - 1;  // no other rows may be read
  load_windows<CHANNELS>(src, rows, cols, mode, cval, first - side / 2, left - side / 2, loaded, high, wide, wide, tile);
  __syncthreads();
  const Powers<T, A> power(powers);
  const A scaling = held(A(factor)), farthest = held(A(limit));
  __shared__ Near<A> chunk[CHUNK];
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
    const int some = int(min((long long)CHUNK, count - begin));
    __syncthreads();
    if (threadIdx.x < some) {
      const long long k = begin + threadIdx.x;
      chunk[threadIdx.x].offset = int(__ldg(places + 2 * k)) * wide + int(__ldg(places + 2 * k + 1));
      chunk[threadIdx.x].exponent = __ldg(exponents + k);
    }
    __syncthreads();
#pragma unroll 2
    for (int k = 0; k < some; ++k) {
      const Near<A> near = chunk[k];
      const A* const other = from + near.offset;
#pragma unroll
      for (int j = 0; j < DOWN; ++j) {
        A each[CHANNELS], halvings = near.exponent;
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) {
          each[c] = (other[(c * high + j) * wide] - own[j][c]) * scaling;
          halvings += each[c] * each[c];
        }
        const bool is_near = halvings <= farthest;
        const A made = held(power(halvings)), weight = is_near ? made : A(0);
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) {
          if constexpr (Number<T>::whole)
            parts[j][c] += weight * each[c];
          else  // may be infinite or NaN
            parts[j][c] += weight * (is_near ? each[c] : A(0));
        }
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

constexpr int LEVELS = 256, BYTE_DOWN = 8, BYTE_PITCH = 48;  // for bytes; the pitch is that of a tile

// A pixel of the window: its offset and that of its distance's weights in shared memory, in bytes.
struct NearByte {
  int offset, weights;
};

// Differences of bytes are few: their weights are tabulated once for each distance, which the places (a, b), (b, a) and
// their opposites share. There are `distances` of them, all a >= b >= 0 except the centre.
template <typename T, typename A>
__global__ void __launch_bounds__(256, 3)
    byte_bilateral(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                   long long top, long long bottom, long long step, long long mode, double cval, long long size,
                   const long long* places, long long count, long long axes, const A* exponents,
                   long long others, const A* powers, long long terms, double factor, double scale, double limit,
                   long long distances) {
  DYNAMIC_SHARED(A, weights_of);
  __shared__ NearByte chunk[CHUNK];
  // For an integer below 256, the bits of its sum with BASE are those of BASE plus four times the integer.
  constexpr A BASE = 2097152.0f;
  constexpr int BASE_BITS = 0x4A000000;
  constexpr int DOWN = BYTE_DOWN, HEIGHT = THREADS / 32 * DOWN;
  A* const tile = weights_of + distances * LEVELS;
  const int side = int(size), reach = side / 2, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const long long first = top + (long long)blockIdx.y * HEIGHT, left = (long long)blockIdx.x * WIDTH;
  const int loaded = (bottom - first < HEIGHT ? int(bottom - first) : HEIGHT) + side - 1;  // no others may be read
  load_windows<1>(src, rows, cols, mode, cval, first - reach, left - reach, loaded, HEIGHT + side - 1, WIDTH + side - 1,
                  BYTE_PITCH, tile);
  const A scaling = held(A(factor)), farthest = held(A(limit));
  const auto distance = [](int a, int b) { return a * (a + 1) / 2 + b - 1; };
  {
    const Powers<T, A> power(powers);
#pragma unroll 1
    for (long long k = warp; k < count; k += THREADS / 32) {
      const int a = int(__ldg(places + 2 * k)) - reach, b = int(__ldg(places + 2 * k + 1)) - reach;
      if (b < 0 || a < b) continue;
      const A exponent = __ldg(exponents + k);
#pragma unroll 4
      for (int level = lane; level < LEVELS; level += 32) {
        const A each = A(level) * scaling, halvings = exponent + each * each;
        weights_of[distance(a, b) * LEVELS + level] = halvings <= farthest ? power(halvings) : A(0);
      }
    }
  }
  __syncthreads();
  const A* const from = tile + warp * DOWN * BYTE_PITCH + lane;
  A own[DOWN], totals[DOWN] = {}, weights[DOWN];
#pragma unroll
  for (int j = 0; j < DOWN; ++j) {
    weights[j] = A(1);
    own[j] = from[(j + reach) * BYTE_PITCH + reach];
  }
#pragma unroll 1
  for (long long begin = 0; begin < count; begin += CHUNK) {
    A parts[DOWN] = {}, part[DOWN] = {};
    const int some = int(min((long long)CHUNK, count - begin));
    __syncthreads();
    if (threadIdx.x < some) {
      const long long* const place = places + 2 * (begin + threadIdx.x);
      const int row = int(__ldg(place)), col = int(__ldg(place + 1)), down = abs(row - reach), along = abs(col - reach);
      chunk[threadIdx.x].offset = (row * BYTE_PITCH + col) * int(sizeof(A));
      chunk[threadIdx.x].weights = distance(max(down, along), min(down, along)) * LEVELS * int(sizeof(A)) - BASE_BITS;
    }
    __syncthreads();
#pragma unroll 2
    for (int k = 0; k < some; ++k) {
      const NearByte near = chunk[k];
      const char* const other = reinterpret_cast<const char*>(from) + near.offset;
#pragma unroll
      for (int j = 0; j < DOWN; ++j) {
        const A difference = *reinterpret_cast<const A*>(other + j * BYTE_PITCH * sizeof(A)) - own[j];
        const int level = __float_as_int(fabsf(difference) + BASE) + near.weights;
        const A weight = *reinterpret_cast<const A*>(reinterpret_cast<const char*>(weights_of) + level);
        parts[j] += weight * (difference * scaling);
        part[j] += weight;
      }
    }
#pragma unroll
    for (int j = 0; j < DOWN; ++j) {
      weights[j] += part[j];
      totals[j] += parts[j];
    }
  }
#pragma unroll
  for (int j = 0; j < DOWN; ++j) {
    const long long row = first + warp * DOWN + j;
    if (row >= bottom || left + lane >= cols) break;
    dst[row * cols + left + lane] = rounded<T>(own[j] + totals[j] / weights[j] * A(scale));
  }
}

// Windows too large for shared memory, and other numbers of channels: each channel of the result separately.
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
