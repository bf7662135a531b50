// Conversions of colours: a loop over pixels of three channels, integers as shares, roots.
#pragma once
#include "columns.cuh"
#include "numbers.cuh"

// Calls convert(first, second, third, out) for each pixel of a tile; out[0 .. 2] take the result.
template <typename T, typename A, typename Convert>
__device__ __forceinline__ void each_color(const T* src, A* dst, long long cols, long long top, long long bottom,
                                           Convert convert) {
  each_column(cols / 3, top, bottom, [=](long long row, long long x) {
    const T* const in = src + row * cols + 3 * x;
    convert(share<A>(in[0]), share<A>(in[1]), share<A>(in[2]), dst + row * cols + 3 * x);
  });
}

// One of three sums of three weighted channels.
template <typename A>
__device__ __forceinline__ A weighed(const double* row, A first, A second, A third) {
  return (first * A(row[0]) + second * A(row[1])) + third * A(row[2]);
}

// Roots as the CPU finds them: a guess from the exponent, then Newton's method without a division.
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
