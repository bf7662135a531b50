// A block's strip of an image in shared memory, as rows of words: each thread loads one column of words, and may then
// work down it without waiting for the others.
#pragma once
#include "borders.cuh"
#include "numbers.cuh"
#include "vectors.cuh"

constexpr int STRIP_WORDS = 128, STRIP_WARPS = STRIP_WORDS / 32;  // a thread for each word of a row

// A word of a row: four bytes, of which the lowest belong to the first element, or one double.
template <typename T>
struct Words {
  typedef unsigned type;
  static constexpr int elements = 4 / sizeof(T);
};
template <>
struct Words<double> {
  typedef unsigned long long type;
  static constexpr int elements = 1;
};
template <typename T>
using WordOf = typename Words<T>::type;

template <typename T>
__device__ __forceinline__ WordOf<T> word_of(T v) {
  if constexpr (SameType<T, double>::value)
    return WordOf<T>(__double_as_longlong(v));
  else if constexpr (SameType<T, float>::value)
    return __float_as_uint(v);
  else
    return unsigned(v) & (sizeof(T) == 1 ? 255u : sizeof(T) == 2 ? 65535u : ~0u);
}

template <typename T>
__device__ __forceinline__ T element_of(WordOf<T> word, int index = 0) {
  if constexpr (SameType<T, double>::value)
    return __longlong_as_double((long long)word);
  else if constexpr (SameType<T, float>::value)
    return __uint_as_float(word);
  else
    return T(word >> 8 * sizeof(T) * index);
}

// How many elements `p` lies behind an aligned word.
template <typename T>
__device__ __forceinline__ int misaligned(const T* p) {
  return Words<T>::elements == 1 ? 0 : int((address_of(p) & 3) / sizeof(T));
}

// Where a strip lies: it begins with element `left`, which may be negative, of row `top`. Its results are the words
// from element `first` on, one row at a time aligned as the result's row is: they begin up to Words<T>::elements - 1
// earlier.
struct Strip {
  long long first, left;

  template <typename T>
  __device__ Strip(const T* src, long long cols, long long words, long long before) {
    constexpr int N = Words<T>::elements;
    first = (long long)blockIdx.x * words * N;
    left = first - (N - 1) - before;
    if (cols % N == 0) left -= misaligned(src + left);  // then words are aligned in all rows
  }
};

// Let begins[i] be where row `top` + i begins, in elements, or -1 where the constant stands. At most 128 rows; all
// threads of a block, which wait for each other.
__device__ __forceinline__ void find_begins(long long rows, long long cols, long long mode, long long top, int height,
                                            long long* begins) {
  if (threadIdx.x < height) {
    const long long row = fold(top + threadIdx.x, rows, mode);
    begins[threadIdx.x] = row < 0 ? -1 : row * cols;
  }
  __syncthreads();
}

// A strip of single elements as numbers of a wider type; see `load_strip`.
template <typename S, typename T>
__device__ __forceinline__ void load_wide(const T* src, long long rows, long long cols, long long step, long long mode,
                                          double cval, long long top, long long left, int height, S* strip) {
  __shared__ long long begins[STRIP_WORDS];
  const long long x = left + threadIdx.x;
  S* const column = strip + threadIdx.x;
  const bool inside = top >= 0 && top + height <= rows;
  if (inside && left >= 0 && left + STRIP_WORDS <= cols) {
    const T* from = src + top * cols + x;
#pragma unroll 8
    for (int i = 0; i < height; ++i) {
      column[i * STRIP_WORDS] = S(__ldg(from));
      from += cols;
    }
    return;
  }
  find_begins(rows, cols, mode, top, height, begins);
  const long long place = fold_element(x, cols, step, mode);
#pragma unroll 8
  for (int i = 0; i < height; ++i) {
    const long long begin = begins[i];
    column[i * STRIP_WORDS] = S(begin < 0 || place < 0 ? T(cval) : __ldg(src + begin + place));
  }
}

// `height` rows, at most 128, from `top` on, every bit of them changed that `turn` has. Rows and columns may lie beyond
// the edges. All threads of a block take part; each may then read its own column.
template <typename T>
__device__ __forceinline__ void load_strip(const T* src, long long rows, long long cols, long long step, long long mode,
                                           double cval, long long top, long long left, int height, WordOf<T> turn,
                                           WordOf<T>* strip) {
  typedef WordOf<T> W;
  constexpr int N = Words<T>::elements, BITS = 8 * sizeof(W) / N;
  __shared__ long long begins[STRIP_WORDS];  // of rows, in elements
  const long long x = left + (long long)threadIdx.x * N;
  W* const column = strip + threadIdx.x;
  // Aligned words hold elements before and behind those wanted, which are to belong to the row.
  const bool inside = top >= 0 && top + height <= rows, whole = x >= N && x + 2 * N <= cols;
  if (!inside || left < N || left + (STRIP_WORDS + 1) * N > cols) find_begins(rows, cols, mode, top, height, begins);
  if (inside && whole) {
    const T* from = src + top * cols + x;
    if (N == 1 || (cols % N == 0 && misaligned(from) == 0)) {
#pragma unroll 8
      for (int i = 0; i < height; ++i) {
        column[i * STRIP_WORDS] = __ldg(reinterpret_cast<const W*>(from)) ^ turn;
        from += cols;
      }
    } else if constexpr (N > 1) {
#pragma unroll 8
      for (int i = 0; i < height; ++i) {
        const int shift = misaligned(from);
        const unsigned* const word = reinterpret_cast<const unsigned*>(from - shift);
        column[i * STRIP_WORDS] = __funnelshift_r(__ldg(word), __ldg(word + (shift != 0)), BITS * shift) ^ turn;
        from += cols;
      }
    }
    return;
  }
  if (whole) {
    W outside = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) outside |= word_of(T(cval)) << BITS * k;
#pragma unroll 4
    for (int i = 0; i < height; ++i) {
      const long long begin = begins[i];
      const T* const from = src + max(begin, 0ll) + x;
      const int shift = misaligned(from);
      const W* const word = reinterpret_cast<const W*>(from - shift);
      W held = __ldg(word);
      if constexpr (N > 1) held = __funnelshift_r(held, __ldg(word + (shift != 0)), BITS * shift);
      column[i * STRIP_WORDS] = (begin < 0 ? outside : held) ^ turn;
    }
    return;
  }
#pragma unroll 1
  for (int k = 0; k < N; ++k) {
    const long long place = fold_element(x + k, cols, step, mode);
#pragma unroll 8
    for (int i = 0; i < height; ++i) {
      const long long begin = begins[i];
      const T value = begin < 0 || place < 0 ? T(cval) : __ldg(src + begin + place);
      column[i * STRIP_WORDS] = (k == 0 ? turn : column[i * STRIP_WORDS]) ^ word_of(value) << BITS * k;
    }
  }
}

// The word whose first element lies `offset` elements behind that of the word at `at`; its row ends not before one word
// more.
template <typename T>
__device__ __forceinline__ WordOf<T> strip_word(const WordOf<T>* at, int offset) {
  constexpr int N = Words<T>::elements;
  if constexpr (N == 1) {
    return at[offset];
  } else {
    at += offset / N;
    return __funnelshift_r(at[0], at[1], 8 * sizeof(T) * (offset % N));
  }
}

// Store the elements of a word that lie in the row `out` of `cols` elements; its first one is element x.
template <typename T>
__device__ __forceinline__ void store_strip(T* out, long long cols, long long x, WordOf<T> word) {
  constexpr int N = Words<T>::elements;
  if (x >= 0 && x + N <= cols) {
    *reinterpret_cast<WordOf<T>*>(out + x) = word;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (x + i >= 0 && x + i < cols) out[x + i] = element_of<T>(word, i);
  }
}

// Calls prepare(line) for each of a strip's `count` rows, a warp for each, then stores pick(at, offset) as the words of
// the row of `out`, a flat row of `cols` elements that follows `out` for each row of the strip: the word's window
// begins `offset` elements behind the word at `at`.
template <typename T, typename Prepare, typename Pick>
__device__ __forceinline__ void each_row(const Strip& place, WordOf<T>* strip, int count, T* out, long long cols,
                                         int words, long long before, Prepare prepare, Pick pick) {
  typedef WordOf<T> W;
  constexpr int N = Words<T>::elements;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int begin = int(place.first - before - place.left);
  out += warp * cols + place.first;
  for (int r = warp; r < count; r += STRIP_WARPS) {
    W* const line = strip + r * STRIP_WORDS;
    const int lead = misaligned(out);
    T* const target = out - lead + lane * N;
    prepare(line);
    const bool whole = place.first >= lead && place.first - lead + words * N <= cols;
#pragma unroll
    for (int c = 0; c < STRIP_WORDS / 32; ++c) {
      if (lane + 32 * c < words) {
        const W word = pick(line + lane + 32 * c, begin - lead);
        if (whole)
          *reinterpret_cast<W*>(target + 32 * c * N) = word;
        else
          store_strip(out - place.first, cols, place.first - lead + (lane + 32 * c) * N, word);
      }
    }
    out += STRIP_WARPS * cols;
  }
}
