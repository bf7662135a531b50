// Colour conversions: a loop over pixels of three channels, scaled integers, roots.
#pragma once
#include "vectors.cuh"

// Calls convert(first, second, third, out) for each pixel of rows [top, bottom); out[0 .. 2] take the result. For
// "launch: flat, pixels 12": a thread converts four pixels. A warp's results go through shared memory, so that
// neighbouring lanes store neighbouring words.
template <typename T, typename A, typename Convert>
__device__ __forceinline__ void each_color(const T* src, A* dst, long long cols, long long top, long long bottom,
                                           Convert convert) {
  constexpr int SIZE = 12, N = 16 / sizeof(A), WORDS = SIZE / N, LANES = 32, THREADS = 256;
  __shared__ uint4 words[THREADS * WORDS];
  src += top * cols;
  dst += top * cols;
  const long long count = (bottom - top) * cols;
  const int lead = int((16 - address_of(dst) % 16) % 16 / sizeof(A));
  const int begin = lead * 3 % N * 3;  // the first pixel whose result is aligned: 3 is its own inverse for N of 4 and 2
  const int lane = threadIdx.x % LANES, warp = threadIdx.x - lane;
  const long long start = begin - SIZE + ((long long)blockIdx.x * THREADS + warp) * SIZE, first = start + lane * SIZE;
  if (start >= count) return;

  Pack<T, 4> in[SIZE / 4];
#pragma unroll
  for (int i = 0; i < SIZE / 4; ++i) load<T, 4>(src + first + 4 * i, src, src + count, in[i]);
  union {
    Pack<A, SIZE> values;
    uint4 words[WORDS];
  } out;
#pragma unroll
  for (int i = 0; i < SIZE; i += 3)
    convert(in[i / 4].v[i % 4], in[(i + 1) / 4].v[(i + 1) % 4], in[(i + 2) / 4].v[(i + 2) % 4], out.values.v + i);
  if (start >= 0 && start + LANES * SIZE <= count) {
    uint4* const held = words + warp * WORDS;
#pragma unroll
    for (int i = 0; i < WORDS; ++i) held[lane * WORDS + i] = out.words[i];
    __syncwarp();
#pragma unroll
    for (int i = lane; i < WORDS * LANES; i += LANES) store_word(reinterpret_cast<uint4*>(dst + start) + i, held[i]);
  } else {
#pragma unroll
    for (int i = 0; i < SIZE; ++i)
      if (first + i >= 0 && first + i < count) dst[first + i] = out.values.v[i];
  }
}

// Three by three weights, in the type of the sums.
template <typename A>
struct Weights {
  A w[9];

  __device__ __forceinline__ explicit Weights(const double* matrix) {
#pragma unroll
    for (int i = 0; i < 9; ++i) w[i] = A(__ldg(matrix + i));
  }
  // One of three sums of three weighted channels.
  __device__ __forceinline__ A sum(int row, A first, A second, A third) const {
    return (first * w[3 * row] + second * w[3 * row + 1]) + third * w[3 * row + 2];
  }
};

// Roots, as on the CPU: a guess from the exponent, then Newton's method without division.
template <int N>
__device__ __forceinline__ float inverse_root(float value) {
  union {
    float number;
    int bits;
  } guess = {value};
  guess.bits = int((1 + 1.0 / N) * (127 - 0.045) * (1 << 23)) - guess.bits / N;
  const float part = float(1.0 / N), ahead = float((N + 1.0) / N);
  float root = guess.number;
  for (int k = 0; k < 3; ++k) {
    const float once = N == 3 ? root : root * root;  // multiplied in the CPU's order
    root = root * (ahead - part * value * once * once * root);
  }
  return root;
}

template <int N>
__device__ __forceinline__ double inverse_root(double value) {
  union {
    double number;
    long long bits;
  } guess = {value};
  const double part = 1.0 / N, ahead = (N + 1.0) / N;
  guess.bits = (long long)((1 + 1.0 / N) * (1023 - 0.045) * (1LL << 52)) - guess.bits / N;
  double root = guess.number;
  for (int k = 0; k < 5; ++k) {
    const double once = N == 3 ? root : root * root;
    root = root * (ahead - part * value * once * once * root);
  }
  return root;
}

template <typename A>
__device__ __forceinline__ A cube_root(A value) {
  const A found = inverse_root<3>(value), square = found * found, nearly = value * square;
  return nearly - (nearly * nearly * nearly - value) * (square * A(1.0 / 3));
}
