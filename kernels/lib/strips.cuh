// A block's strip of an image in shared memory, as rows of words: each thread loads one column of words and can then
// process it without synchronising with the others.
#pragma once
#include "borders.cuh"
#include "numbers.cuh"
#include "vectors.cuh"

constexpr int STRIP_WORDS = 128, STRIP_WARPS = STRIP_WORDS / 32;  // one thread per word of a row

// A word of a row: four bytes, the lowest of which belong to the first element, or one double.
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

// The number of elements from an aligned word to `p`.
template <typename T>
__device__ __forceinline__ int misaligned(const T* p) {
  return Words<T>::elements == 1 ? 0 : int((address_of(p) & 3) / sizeof(T));
}

// The position of a strip: it begins with element `left`, which may be negative, of row `top`. Its results are the
// words from element `first` on; in each row they are aligned with the result's row, beginning up to Words<T>::elements
// - 1 earlier.
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

// Set begins[i] to where row `top` + i begins; see `begin_of`. At most 128 rows; all threads of a block take part and
// are synchronised.
__device__ __forceinline__ void find_begins(long long rows, long long cols, long long mode, long long top, int height,
                                            long long* begins) {
  if (threadIdx.x < height) begins[threadIdx.x] = begin_of(top + threadIdx.x, rows, cols, mode);
  __syncthreads();
}

template <int N>
struct Count {
  static constexpr int value = N;
};

// Calls fill(i, Count<N>()) for rows i to i + N - 1, N at a time, so that their loads are in flight together. The last
// rows are filled twice if `height` is not a multiple of N.
template <int N, typename Fill>
__device__ __forceinline__ void rows_at_once(int height, Fill fill) {
  if (height >= N) {
#pragma unroll 1
    for (int i = 0; i < height; i += N) fill(min(i, height - N), Count<N>());
  } else {
#pragma unroll 1
    for (int i = 0; i < height; ++i) fill(i, Count<1>());
  }
}

// Load load(i) for N rows of a strip's column, from row `first` on. All loads come before the first store:
// the compiler has to keep stores in order with loads from shared memory.
template <int N, typename W, typename Load>
__device__ __forceinline__ void fill_rows(W* column, int first, Load load) {
  W held[N];
#pragma unroll
  for (int i = 0; i < N; ++i) held[i] = load(i);
#pragma unroll
  for (int i = 0; i < N; ++i) column[(first + i) * STRIP_WORDS] = held[i];
}

constexpr int ROWS_AT_ONCE = 8;

// A strip of single elements as numbers of a wider type; see `load_strip`.
template <typename S, typename T>
__device__ __forceinline__ void load_wide(const T* src, long long rows, long long cols, long long step, long long mode,
                                          double cval, long long top, long long left, int height, S* strip) {
  __shared__ long long begins[STRIP_WORDS];
  const long long x = left + threadIdx.x;
  S* const column = strip + threadIdx.x;
  const bool inside = top >= 0 && top + height <= rows;
  if (inside && left >= 0 && left + STRIP_WORDS <= cols) {
    const T* const from = src + top * cols + x;
    rows_at_once<ROWS_AT_ONCE>(height, [&](int first, auto count) {
      const T* const row = from + first * cols;
      fill_rows<count.value>(column, first, [&](int i) { return S(__ldg(row + i * cols)); });
    });
    return;
  }
  find_begins(rows, cols, mode, top, height, begins);
  const long long place = fold_element(x, cols, step, mode);
  const T* const from = src + max(place, 0ll);
  rows_at_once<ROWS_AT_ONCE>(height, [&](int first, auto count) {
    fill_rows<count.value>(column, first, [&](int i) {
      const long long begin = begins[first + i];
      const T value = __ldg(from + present(begin));
      return S(begin < 0 || place < 0 ? T(cval) : value);
    });
  });
}

// Load `height` rows, at most 128, from `top` on, with the bits of `turn` flipped. Rows and columns may be beyond the
// edges. All threads of a block take part; each may then read its own column.
template <typename T>
__device__ __forceinline__ void load_strip(const T* src, long long rows, long long cols, long long step, long long mode,
                                           double cval, long long top, long long left, int height, WordOf<T> turn,
                                           WordOf<T>* strip) {
  typedef WordOf<T> W;
  constexpr int N = Words<T>::elements, BITS = 8 * sizeof(W) / N;
  __shared__ long long begins[STRIP_WORDS];  // of rows, in elements
  const long long x = left + (long long)threadIdx.x * N;
  W* const column = strip + threadIdx.x;
  // Aligned words include elements before and after the needed ones; these must belong to the row.
  const bool inside = top >= 0 && top + height <= rows, whole = x >= N && x + 2 * N <= cols;
  if (!inside || left < N || left + (STRIP_WORDS + 1) * N > cols) find_begins(rows, cols, mode, top, height, begins);
  const auto word_at = [](const T* from) {
    const int shift = misaligned(from);
    const W* const word = reinterpret_cast<const W*>(from - shift);
    const W low = __ldg(word);
    if constexpr (N == 1)
      return low;
    else
      return __funnelshift_r(low, __ldg(word + (shift != 0)), BITS * shift);
  };
  if (inside && whole) {
    const T* const from = src + top * cols + x;
    const bool aligned = N == 1 || (cols % N == 0 && misaligned(from) == 0);
    rows_at_once<ROWS_AT_ONCE>(height, [&](int first, auto count) {
      const T* const row = from + first * cols;
      if (aligned)
        fill_rows<count.value>(column, first,
                               [&](int i) { return __ldg(reinterpret_cast<const W*>(row + i * cols)) ^ turn; });
      else
        fill_rows<count.value>(column, first, [&](int i) { return word_at(row + i * cols) ^ turn; });
    });
    return;
  }
  if (whole) {
    W outside = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) outside |= word_of(T(cval)) << BITS * k;
    rows_at_once<ROWS_AT_ONCE>(height, [&](int first, auto count) {
      fill_rows<count.value>(column, first, [&](int i) {
        const long long begin = begins[first + i];
        const W held = word_at(src + present(begin) + x);
        return (begin < 0 ? outside : held) ^ turn;
      });
    });
    return;
  }
#pragma unroll 1
  for (int k = 0; k < N; ++k) {
    const int bits = N == 1 ? 0 : BITS * k;
    const W mask = N == 1 ? ~W(0) : ((W(1) << (BITS % (8 * sizeof(W)))) - 1) << bits;
    const long long place = fold_element(x + k, cols, step, mode);
    const T* const from = src + max(place, 0ll);
    rows_at_once<ROWS_AT_ONCE>(height, [&](int first, auto count) {
      W held[count.value];
#pragma unroll
      for (int i = 0; i < count.value; ++i) {
        const long long begin = begins[first + i];
        const T value = __ldg(from + present(begin));
        held[i] = (word_of(begin < 0 || place < 0 ? T(cval) : value) << bits ^ turn) & mask;
      }
#pragma unroll
      for (int i = 0; i < count.value; ++i) {
        W& word = column[(first + i) * STRIP_WORDS];
        word = k == 0 ? held[i] : (word & ~mask) | held[i];
      }
    });
  }
}

// The word that begins `offset` elements after the word at `at`; its row has at least one word more.
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

// Store the elements of a word that are in the row `out` of `cols` elements; the first one is element x.
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

// Calls prepare(line) for each of a strip's `count` rows, one warp per row, then stores pick(at, offset) as the words
// of that row of `out`, which has flat rows of `cols` elements: the word's window begins `offset` elements after the
// word at `at`.
template <typename T, typename Prepare, typename Pick>
__device__ __forceinline__ void each_row(const Strip& place, WordOf<T>* strip, int count, T* out, long long cols,
                                         int words, long long before, Prepare prepare, Pick pick) {
  typedef WordOf<T> W;
  constexpr int N = Words<T>::elements, CHUNKS = STRIP_WORDS / 32;
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
    for (int first = 0; first < CHUNKS; first += 2) {  // two words at a time: compute one while the other is loaded
      W picked[2];
#pragma unroll
      for (int c = 0; c < 2; ++c) picked[c] = pick(line + min(lane + 32 * (first + c), words - 1), begin - lead);
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int word = lane + 32 * (first + c);
        if (word >= words) continue;
        if (whole)
          *reinterpret_cast<W*>(target + 32 * (first + c) * N) = picked[c];
        else
          store_strip(out - place.first, cols, place.first - lead + word * N, picked[c]);
      }
    }
    out += STRIP_WARPS * cols;
  }
}
