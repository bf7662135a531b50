// Loads and stores of 16 bytes and more at any alignment, and the loop of all pointwise kernels.
#pragma once
#include "numbers.cuh"

template <typename T, int N>
struct Pack {
  T v[N];
};

template <int BYTES>
struct Word;
template <>
struct Word<1> {
  typedef unsigned char type;
};
template <>
struct Word<2> {
  typedef unsigned short type;
};
template <>
struct Word<4> {
  typedef unsigned int type;
};
template <>
struct Word<8> {
  typedef uint2 type;
};
template <>
struct Word<16> {
  typedef uint4 type;
};

__device__ __forceinline__ unsigned long long address_of(const void* p) {
  return reinterpret_cast<unsigned long long>(p);
}

// The compiler may split the assignment of a vector, but not inline assembly.
template <typename W>
__device__ __forceinline__ void store_word(W* p, W word) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(W) == 16) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(word.x), "r"(word.y), "r"(word.z), "r"(word.w)
                 : "memory");
    return;
  }
  if constexpr (sizeof(W) == 8) {
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(p), "r"(word.x), "r"(word.y) : "memory");
    return;
  }
#endif
  *p = word;
}

// Copy up to 16 bytes at a time through registers: a Pack that is only moved as words stays out of local memory.
template <typename T, int N>
__device__ __forceinline__ void load_aligned(const T* p, Pack<T, N>& into) {
  constexpr int bytes = sizeof(T) * N, part = bytes < 16 ? bytes : 16, words = bytes / part;
  typedef typename Word<part>::type W;
  union {
    W w[words];
    Pack<T, N> values;
  } u;
#pragma unroll
  for (int i = 0; i < words; ++i) u.w[i] = __ldg(reinterpret_cast<const W*>(p) + i);
  into = u.values;
}

template <typename T, int N>
__device__ __forceinline__ void store_aligned(T* p, const Pack<T, N>& from) {
  constexpr int bytes = sizeof(T) * N, part = bytes < 16 ? bytes : 16, words = bytes / part;
  typedef typename Word<part>::type W;
  union {
    W w[words];
    Pack<T, N> values;
  } u;
  u.values = from;
#pragma unroll
  for (int i = 0; i < words; ++i) store_word(reinterpret_cast<W*>(p) + i, u.w[i]);
}

// The 16 bytes from `shift` bytes (not a multiple of 16) after the aligned words at p on: two loads and a shift.
__device__ __forceinline__ uint4 load_shifted(const uint4* p, int shift) {
  const uint4 a = __ldg(p), b = __ldg(p + 1);
  unsigned w[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
  if (shift & 8) {
#pragma unroll
    for (int i = 0; i < 6; ++i) w[i] = w[i + 2];
  }
  if (shift & 4) {
#pragma unroll
    for (int i = 0; i < 5; ++i) w[i] = w[i + 1];
  }
  const int bits = (shift & 3) * 8;
  return make_uint4(__funnelshift_r(w[0], w[1], bits), __funnelshift_r(w[1], w[2], bits), __funnelshift_r(w[2], w[3], bits),
                    __funnelshift_r(w[3], w[4], bits));
}

// Load N elements from p on, at any alignment; nothing outside [begin, end) is read.
template <typename T, int N>
__device__ __forceinline__ void load(const T* p, const T* begin, const T* end, Pack<T, N>& into) {
  constexpr int bytes = sizeof(T) * N, part = bytes < 16 ? bytes : 16;
  const int shift = int(address_of(p) % part);
  if (shift == 0 && p >= begin && p + N <= end) {
    load_aligned<T, N>(p, into);
    return;
  }
  if constexpr (bytes % 16 == 0) {
    const unsigned long long first = address_of(p) - shift;
    if (first >= address_of(begin) && first + bytes + 16 <= address_of(end)) {
      union {
        uint4 w[bytes / 16];
        Pack<T, N> values;
      } u;
#pragma unroll
      for (int i = 0; i < bytes / 16; ++i) u.w[i] = load_shifted(reinterpret_cast<const uint4*>(first) + i, shift);
      into = u.values;
      return;
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i) into.v[i] = p + i >= begin && p + i < end ? p[i] : T(0);
}

// Store N elements to dst + first, which is aligned; nothing outside [dst, dst + count) is written.
template <typename T, int N>
__device__ __forceinline__ void store_inside(T* dst, long long first, long long count, const Pack<T, N>& from) {
  if (first >= 0 && first + N <= count) {
    store_aligned<T, N>(dst + first, from);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (first + i >= 0 && first + i < count) dst[first + i] = from.v[i];
  }
}

// The number of elements that a thread of a pointwise kernel fills at a time: 16 bytes of the wider type.
template <typename T, typename U>
struct Chunk {
  static constexpr int elements = 16 / (sizeof(T) > sizeof(U) ? sizeof(T) : sizeof(U));
};

// dst[i] = op(i, the SCALE elements of src from SCALE * i on) for 0 <= i < count: the loop of every pointwise kernel, for
// "launch: flat, bytes 32" (bytes 16 where SCALE > 1). Chunks are aligned in dst; elements before the first and after
// the last aligned chunk are stored one by one. `op(first, in, out)` gets N pixels at a time; `first` is the index of
// the first one, -N < first < count.
template <int SCALE, typename T, typename U, typename Op>
__device__ __forceinline__ void map_chunks(const T* src, U* dst, long long count, Op op) {
  constexpr int N = Chunk<T, U>::elements;
  const int lead = int(address_of(dst) / sizeof(U) % N);
  constexpr int TURNS = SCALE == 1 ? 2 : 1;  // chunks of a thread: both are loaded before the first is processed
  const long long chunk = (long long)blockIdx.x * (TURNS * blockDim.x) + threadIdx.x;
  Pack<T, N * SCALE> in[TURNS];
  long long first[TURNS];
#pragma unroll
  for (int k = 0; k < TURNS; ++k) {
    first[k] = (chunk + k * (long long)blockDim.x) * N - lead;
    if (first[k] < count) load<T, N * SCALE>(src + SCALE * first[k], src, src + SCALE * count, in[k]);
  }
#pragma unroll
  for (int k = 0; k < TURNS; ++k) {
    if (first[k] >= count) return;
    Pack<U, N> out;
    op(first[k], in[k], out);
    store_inside<U, N>(dst, first[k], count, out);
  }
}

// dst[i] = op(src[i]).
template <typename T, typename U, typename Op>
__device__ __forceinline__ void map_elements(const T* src, U* dst, long long count, Op op) {
  constexpr int N = Chunk<T, U>::elements;
  map_chunks<1>(src, dst, count, [&](long long, const Pack<T, N>& in, Pack<U, N>& out) {
#pragma unroll
    for (int i = 0; i < N; ++i) out.v[i] = op(in.v[i]);
  });
}

// dst[i] = op(src[i], other[i]).
template <typename T, typename V, typename U, typename Op>
__device__ __forceinline__ void map_pairs(const T* src, const V* other, U* dst, long long count, Op op) {
  constexpr int N = Chunk<T, U>::elements, TURNS = 2;
  const int lead = int(address_of(dst) / sizeof(U) % N);
  const long long chunk = (long long)blockIdx.x * (TURNS * blockDim.x) + threadIdx.x;
  Pack<T, N> in[TURNS];
  Pack<V, N> more[TURNS];
#pragma unroll
  for (int k = 0; k < TURNS; ++k) {
    const long long first = (chunk + k * (long long)blockDim.x) * N - lead;
    if (first >= count) continue;
    load<T, N>(src + first, src, src + count, in[k]);
    load<V, N>(other + first, other, other + count, more[k]);
  }
#pragma unroll
  for (int k = 0; k < TURNS; ++k) {
    const long long first = (chunk + k * (long long)blockDim.x) * N - lead;
    if (first >= count) return;
    Pack<U, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) out.v[i] = op(in[k].v[i], more[k].v[i]);
    store_inside<U, N>(dst, first, count, out);
  }
}
