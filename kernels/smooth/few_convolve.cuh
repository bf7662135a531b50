// Weighted sums of single-channel windows of 3x3 and 5x5 pixels, in registers: a thread fills four adjacent pixels of
// each of its rows.
#pragma once
#include "numbers.cuh"
#include "tiles.cuh"
#include "windows.cuh"

constexpr int FEW_ACROSS = 4, FEW_ROWS = 8;  // of a thread

// A value in the accumulator type. Short integers become floats without a conversion instruction.
template <typename A, typename T>
__device__ __forceinline__ A widened(T value) {
  if constexpr (SameType<A, float>::value && sizeof(T) < 4)
    return __uint_as_float((unsigned(int(value) - int(Number<T>::low))) | 0x4B000000u) -
           (8388608.f - float(Number<T>::low));
  else
    return A(value);
}

template <typename T>
constexpr int FOUR_BYTES = sizeof(T) * FEW_ACROSS < 16 ? sizeof(T) * FEW_ACROSS : 16;

// Load four neighbours, at `centre`, with HALF values before and after; the four are aligned if ALIGNED.
template <int HALF, bool ALIGNED, typename T, typename A>
__device__ __forceinline__ void load_row(const T* centre, A (&values)[FEW_ACROSS + 2 * HALF]) {
#pragma unroll
  for (int i = 0; i < HALF; ++i) {
    values[i] = widened<A>(__ldg(centre + i - HALF));
    values[HALF + FEW_ACROSS + i] = widened<A>(__ldg(centre + FEW_ACROSS + i));
  }
  if constexpr (ALIGNED) {
    Pack<T, FEW_ACROSS> four;
    load_aligned(centre, four);
#pragma unroll
    for (int i = 0; i < FEW_ACROSS; ++i) values[HALF + i] = widened<A>(four.v[i]);
  } else {
#pragma unroll
    for (int i = 0; i < FEW_ACROSS; ++i) values[HALF + i] = widened<A>(__ldg(centre + i));
  }
}

// Adds a row of values to four sums. A zero weight is no tap: it does not propagate NaN or infinity.
template <int N, bool ANY_ZERO, typename A>
__device__ __forceinline__ void add_row(const A (&values)[FEW_ACROSS + N - 1], const A (&weights)[N * N], int row,
                                        A (&totals)[FEW_ACROSS]) {
#pragma unroll
  for (int col = 0; col < N; ++col) {
    const A weight = weights[row * N + col];
    if (ANY_ZERO && weight == A(0)) continue;
#pragma unroll
    for (int k = 0; k < FEW_ACROSS; ++k) totals[k] += weight * values[k + col];
  }
}

// Fills FEW_ROWS rows of a thread inside the image: each row of values is added to all sums whose windows contain it.
template <int N, bool ALIGNED, bool ANY_ZERO, typename T, typename A, typename Finish>
__device__ __forceinline__ void few_inside(const T* above, unsigned int pitch, T* dst, const A (&weights)[N * N],
                                           Finish finish) {
  A totals[FEW_ROWS][FEW_ACROSS] = {};
#pragma unroll
  for (int i = 0; i < FEW_ROWS + N - 1; ++i) {
    A values[FEW_ACROSS + N - 1];
    load_row<N / 2, ALIGNED>(rows_below(above, i, pitch), values);
#pragma unroll
    for (int j = 0; j < FEW_ROWS; ++j)
      if (i - j >= 0 && i - j < N) add_row<N, ANY_ZERO>(values, weights, i - j, totals[j]);
  }
#pragma unroll
  for (int j = 0; j < FEW_ROWS; ++j) {
    Pack<T, FEW_ACROSS> four;
#pragma unroll
    for (int k = 0; k < FEW_ACROSS; ++k) four.v[k] = finish(totals[j][k]);
    T* const to = rows_below(dst, j, pitch);
    if constexpr (ALIGNED) {
      store_aligned(to, four);
    } else {
#pragma unroll
      for (int k = 0; k < FEW_ACROSS; ++k) to[k] = four.v[k];
    }
  }
}

// Adds the products of two signed 16-bit weights and two bytes of a word, its low or its high ones: one instruction.
template <bool HIGH>
__device__ __forceinline__ int add_products(unsigned weights, unsigned bytes, int sum) {
#if defined(__CUDA_ARCH__)
  if constexpr (HIGH)
    asm("dp2a.hi.s32.u32 %0, %1, %2, %3;" : "=r"(sum) : "r"(weights), "r"(bytes), "r"(sum));
  else
    asm("dp2a.lo.s32.u32 %0, %1, %2, %3;" : "=r"(sum) : "r"(weights), "r"(bytes), "r"(sum));
  return sum;
#else
  const unsigned two = HIGH ? bytes >> 16 : bytes;
  return sum + short(weights & 65535) * int(two & 255) + short(weights >> 16) * int(two >> 8 & 255);
#endif
}

// `few_inside` for bytes with 16-bit weights in rows of aligned words: the taps of a row two by two.
template <int N, typename Finish>
__device__ __forceinline__ void few_bytes_inside(const unsigned char* above, unsigned int pitch, unsigned char* dst,
                                                 const int (&weights)[N * N], Finish finish) {
  constexpr int PAIRS = (N + 1) / 2;
  unsigned taps[N][PAIRS];
#pragma unroll
  for (int row = 0; row < N; ++row)
#pragma unroll
    for (int i = 0; i < PAIRS; ++i)
      taps[row][i] = __byte_perm(weights[row * N + 2 * i], 2 * i + 1 < N ? weights[row * N + 2 * i + 1] : 0, 0x5410);
  int totals[FEW_ROWS][FEW_ACROSS] = {};
#pragma unroll
  for (int i = 0; i < FEW_ROWS + N - 1; ++i) {
    const unsigned* const centre = reinterpret_cast<const unsigned*>(rows_below(above, i, pitch));
    // Three words, of which the middle one holds the centres, and the words that begin one byte later.
    unsigned words[2][3];
#pragma unroll
    for (int k = 0; k < 3; ++k) words[0][k] = __ldg(centre + k - 1);
#pragma unroll
    for (int k = 0; k < 3; ++k) words[1][k] = __funnelshift_r(words[0][k], k < 2 ? words[0][k + 1] : 0u, 8);
#pragma unroll
    for (int j = 0; j < FEW_ROWS; ++j) {
      if (i - j < 0 || i - j >= N) continue;
#pragma unroll
      for (int k = 0; k < FEW_ACROSS; ++k)
#pragma unroll
        for (int pair = 0; pair < PAIRS; ++pair) {
          const int begin = FEW_ACROSS + k - N / 2 + 2 * pair;
          const unsigned word = words[begin & 1][begin / 4], both = taps[i - j][pair];
          totals[j][k] = begin & 2 ? add_products<true>(both, word, totals[j][k])
                                   : add_products<false>(both, word, totals[j][k]);
        }
    }
  }
#pragma unroll
  for (int j = 0; j < FEW_ROWS; ++j) {
    Pack<unsigned char, FEW_ACROSS> four;
#pragma unroll
    for (int k = 0; k < FEW_ACROSS; ++k) four.v[k] = finish(totals[j][k]);
    store_aligned(rows_below(dst, j, pitch), four);
  }
}

// The same anywhere, with borders, row by row.
template <int N, typename T, typename A, typename Finish>
__device__ __forceinline__ void few_beyond(const T* src, long long rows, long long cols, T* dst, long long first,
                                           int count, long long x, long long mode, double cval,
                                           const A (&weights)[N * N], Finish finish) {
  constexpr int WIDE = FEW_ACROSS + N - 1;
  int columns[WIDE];
#pragma unroll
  for (int k = 0; k < WIDE; ++k) columns[k] = int(fold_near(x + k - N / 2, cols, mode));
  const A outside = A(T(cval));
  A window[N][WIDE] = {};
#pragma unroll 1
  for (int i = 1 - N; i < count; ++i) {
    const long long row = fold_near(first + i + N / 2, rows, mode);
    const T* const line = src + row * cols;
#pragma unroll
    for (int k = 0; k < WIDE; ++k) {
#pragma unroll
      for (int n = 0; n < N - 1; ++n) window[n][k] = window[n + 1][k];
      window[N - 1][k] = row < 0 || columns[k] < 0 ? outside : A(__ldg(line + columns[k]));
    }
    if (i < 0) continue;
    A totals[FEW_ACROSS] = {};
#pragma unroll
    for (int n = 0; n < N; ++n) add_row<N, true>(window[n], weights, n, totals);
    T* const to = dst + (first + i) * cols + x;
#pragma unroll
    for (int k = 0; k < FEW_ACROSS; ++k)
      if (x + k < cols) to[k] = finish(totals[k]);
  }
}

template <int N, typename T, typename A, typename Finish>
__device__ __forceinline__ void few_sums(const T* src, long long rows, long long cols, T* dst, long long top,
                                         long long bottom, long long mode, double cval, const A* stored,
                                         Finish finish) {
  const long long x = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * FEW_ACROSS;
  const long long first = top + ((long long)blockIdx.y * blockDim.y + threadIdx.y) * FEW_ROWS;
  if (x >= cols || first >= bottom) return;
  A weights[N * N];
  bool zero = false;
#pragma unroll
  for (int i = 0; i < N * N; ++i) {
    weights[i] = __ldg(stored + i);
    zero |= weights[i] == A(0);
  }
  const int count = int(min(bottom - first, (long long)FEW_ROWS));
  if (first < N / 2 || first + FEW_ROWS + N / 2 > rows || count < FEW_ROWS || x < N / 2 ||
      x + FEW_ACROSS + N / 2 > cols) {
    few_beyond<N>(src, rows, cols, dst, first, count, x, mode, cval, weights, finish);
    return;
  }
  const unsigned int pitch = (unsigned int)cols * sizeof(T);
  const T* const above = src + (first - N / 2) * cols + x;
  T* const to = dst + first * cols + x;
  const bool aligned = ((address_of(above) | address_of(to) | pitch) & (FOUR_BYTES<T> - 1)) == 0;
  // Integers are finite: a zero weight adds zero.
  if (!Number<T>::whole && zero) {
    few_inside<N, false, !Number<T>::whole>(above, pitch, to, weights, finish);
  } else if (aligned) {
    if constexpr (SameType<A, int>::value)
      few_bytes_inside<N>(above, pitch, to, weights, finish);
    else
      few_inside<N, true, false>(above, pitch, to, weights, finish);
  } else {
    few_inside<N, false, false>(above, pitch, to, weights, finish);
  }
}
