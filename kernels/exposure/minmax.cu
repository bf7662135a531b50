// launch: slabs, threads 256
// instances: minmax<L, double>
#include "vectors.cuh"

__device__ __forceinline__ unsigned pairs_min(unsigned a, unsigned b, unsigned short) { return __vminu2(a, b); }
__device__ __forceinline__ unsigned pairs_max(unsigned a, unsigned b, unsigned short) { return __vmaxu2(a, b); }
__device__ __forceinline__ unsigned pairs_min(unsigned a, unsigned b, short) { return __vmins2(a, b); }
__device__ __forceinline__ unsigned pairs_max(unsigned a, unsigned b, short) { return __vmaxs2(a, b); }

// Minimum and maximum, 16 bytes at a time, starting with the value v. put(take) calls take(minimum, maximum) for each
// element of a word.
template <typename T, int SIZE = sizeof(T)>
struct Extremes {  // for floats: min and max ignore NaN, which is tracked separately
  T low, high, strange = 0;

  __device__ __forceinline__ explicit Extremes(T v) : low(v), high(v) {}
  __device__ __forceinline__ void add(const uint4& word) {
    union {
      uint4 word;
      T v[16 / SIZE];
    } in = {word};
#pragma unroll
    for (int i = 0; i < 16 / SIZE; ++i) {
      low = min(low, in.v[i]);
      high = max(high, in.v[i]);
      if (is_nan(in.v[i])) strange = in.v[i];
    }
  }
  template <typename Take>
  __device__ __forceinline__ void put(Take take) const {
    take(low, high);
    if (is_nan(strange)) take(strange, strange);
  }
};

template <typename T>
struct Extremes<T, 2> {
  unsigned low, high;

  __device__ __forceinline__ explicit Extremes(T v) : low((unsigned short)(v) * 0x10001u), high(low) {}
  __device__ __forceinline__ void add(const uint4& word) {
    for (const unsigned pair : {word.x, word.y, word.z, word.w}) {
      low = pairs_min(low, pair, T(0));
      high = pairs_max(high, pair, T(0));
    }
  }
  template <typename Take>
  __device__ __forceinline__ void put(Take take) const {
    take(T(low), T(high));
    take(T(low >> 16), T(high >> 16));
  }
};

// Bytes are compared as the upper bytes of 16-bit pairs, whose lower bytes only break ties: odd ones in place, even
// ones shifted up.
template <typename T>
struct Extremes<T, 1> {
  Extremes<unsigned short> odd, even;

  __device__ __forceinline__ explicit Extremes(T v) : odd(v * 0x101), even(v * 0x101) {}
  __device__ __forceinline__ void add(const uint4& word) {
    odd.add(word);
    even.add(make_uint4(word.x << 8, word.y << 8, word.z << 8, word.w << 8));
  }
  template <typename Take>
  __device__ __forceinline__ void put(Take take) const {
    const auto high_bytes = [=](unsigned low, unsigned high) { take(T(low >> 8), T(high >> 8)); };
    odd.put(high_bytes);
    even.put(high_bytes);
  }
};

// The minimum and maximum of a slab of rows: dst[slab] holds both, and both are NaN if one occurs.
template <typename T, typename U>
__global__ void __launch_bounds__(256) minmax(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                                              long long dst_cols, long long top, long long bottom) {
  constexpr int N = 16 / sizeof(T), THREADS = 256, TURNS = 4;  // TURNS loads in flight
  __shared__ T minimum[THREADS], maximum[THREADS];
  const long long slab = top + blockIdx.y;
  const long long begin = slab * rows / dst_rows * cols, count = (slab + 1) * rows / dst_rows * cols - begin;
  const T* const from = src + begin;
  T low = from[0], high = from[0];
  const auto take = [&](T a, T b) {
    low = a < low || is_nan(a) ? a : low;  // once NaN, nothing is less
    high = b > high || is_nan(b) ? b : high;
  };

  const long long lead = (16 - address_of(from) % 16) % 16 / sizeof(T), ahead = lead < count ? lead : count;
  const long long words = (count - ahead) / N;
  const uint4* const word = reinterpret_cast<const uint4*>(from + ahead);
  Extremes<T> found(from[0]);
  long long at = threadIdx.x;
  for (; at + (TURNS - 1) * THREADS < words; at += TURNS * THREADS) {
    uint4 in[TURNS];
#pragma unroll
    for (int k = 0; k < TURNS; ++k) in[k] = __ldg(word + at + k * THREADS);
#pragma unroll
    for (int k = 0; k < TURNS; ++k) found.add(in[k]);
  }
#pragma unroll 1
  for (; at < words; at += THREADS) found.add(__ldg(word + at));
  found.put(take);
  if (threadIdx.x < ahead) take(from[threadIdx.x], from[threadIdx.x]);
  const long long last = ahead + words * N + threadIdx.x;
  if (last < count) take(from[last], from[last]);

  minimum[threadIdx.x] = low;
  maximum[threadIdx.x] = high;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) {
      take(minimum[threadIdx.x + half], maximum[threadIdx.x + half]);
      minimum[threadIdx.x] = low;
      maximum[threadIdx.x] = high;
    }
  }
  if (threadIdx.x == 0) {
    dst[slab * dst_cols] = U(low);
    dst[slab * dst_cols + 1] = U(high);
  }
}
