// launch: tile 32x8, pixels 4x1
// instances: near<L, L>; columns<L, L>; along<L, L>; along_far<L, L>
#include "minima.cuh"

// The minimum, or with `maximum` the maximum, of two values; NaN if either is NaN.
template <typename T>
__device__ __forceinline__ T taken(T a, T b, bool maximum) {
  if (is_nan(a)) return a;
  return is_nan(b) || (maximum ? b > a : b < a) ? b : a;
}

// Minima down the columns, in windows from `above` rows above each row on, for groups of n0 rows: backward minima from
// the end of a group's first window to each of its rows, then forward minima from there; each window is the minimum of
// one of both (M. van Herk, "A fast algorithm for local minimum and maximum filters", Pattern Recognition Letters 13,
// 1992). Two loads per element, whatever the window.
template <typename T, typename U>
__global__ void columns(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, long long mode, double cval, long long n0, long long above,
                        long long flip) {
  const long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= cols) return;
  const bool maximum = flip != 0;
  const auto value = [=](long long row) {
    const long long r = fold(row, rows, mode);
    return r < 0 ? T(cval) : src[r * cols + x];
  };
  for (long long first = top + (long long)blockIdx.y * n0; first < bottom; first += (long long)gridDim.y * n0) {
    const long long begin = first - above, count = min(n0, bottom - first);
    T best = value(begin + n0 - 1);
    for (long long i = n0 - 1; i >= 0; --i) {
      best = taken(best, value(begin + i), maximum);
      if (i < count) dst[(first + i) * cols + x] = best;
    }
    if (count > 1) best = value(begin + n0);
    for (long long i = 1; i < count; ++i) {
      best = taken(best, value(begin + n0 + i - 1), maximum);
      dst[(first + i) * cols + x] = taken(T(dst[(first + i) * cols + x]), best, maximum);
    }
  }
}

// Along the rows: minima of 1, 2, 4, ... neighbours in shared memory, then of two such runs that cover the window.
// `span` elements at a time, including the halo of the last window.
template <typename T, typename U>
__global__ void along(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, long long step, long long mode, double cval, long long n1,
                      long long left, long long flip, long long span) {
  DYNAMIC_SHARED(T, shared);
  const bool maximum = flip != 0;
  const long long halo = (n1 - 1) * step, width = span - halo, before = left * step;
  const long long start = (long long)blockIdx.x * width, wanted = min(width, cols - start);
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const T* const line = src + row * cols;
    T *now = shared, *next = shared + span;
    for (long long i = threadIdx.x; i < wanted + halo; i += blockDim.x) {
      const long long c = fold_element(start + i - before, cols, step, mode);
      now[i] = c < 0 ? T(cval) : line[c];
    }
    __syncthreads();
    long long size = 1, reach = wanted + halo;
    for (; 2 * size <= n1; size *= 2) {
      reach -= size * step;
      for (long long i = threadIdx.x; i < reach; i += blockDim.x)
        next[i] = taken(now[i], now[i + size * step], maximum);
      __syncthreads();
      T* const swapped = now;
      now = next;
      next = swapped;
    }
    for (long long i = threadIdx.x; i < wanted; i += blockDim.x)
      dst[row * cols + start + i] = taken(now[i], now[i + (n1 - size) * step], maximum);
    __syncthreads();
  }
}

// The same for windows wider than shared memory: groups of n1 pixels as in `columns`, one per thread.
template <typename T, typename U>
__global__ void along_far(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, long long mode, double cval, long long n1,
                          long long left, long long flip) {
  const bool maximum = flip != 0;
  const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const long long group = thread / step, channel = thread - group * step, width = cols / step;
  const long long first = group * n1, begin = first - left, count = min(n1, width - first);
  if (count <= 0) return;
  for (long long row = top + blockIdx.y; row < bottom; row += gridDim.y) {
    const auto value = [=](long long pixel) {
      const long long inside = fold(pixel, width, mode);
      return inside < 0 ? T(cval) : src[row * cols + inside * step + channel];
    };
    U* const out = dst + row * cols + first * step + channel;
    T best = value(begin + n1 - 1);
#pragma unroll 1
    for (long long i = n1 - 1; i >= 0; --i) {
      best = taken(best, value(begin + i), maximum);
      if (i < count) out[i * step] = best;
    }
    if (count > 1) best = value(begin + n1);
#pragma unroll 1
    for (long long i = 1; i < count; ++i) {
      best = taken(best, value(begin + n1 + i - 1), maximum);
      out[i * step] = taken(T(out[i * step]), best, maximum);
    }
  }
}

// Combine minima of SIZE values into minima of N, the first `AT_ONCE` of them.
template <typename T, int AT_ONCE, int N, int SIZE = 1>
__device__ __forceinline__ void lengthen(Lanes<T> (&best)[AT_ONCE + N - 1]) {
  if constexpr (SIZE == 1 && (N == 3 || (N == 5 && sizeof(T) < 4))) {
    // For integers, a minimum of three is as fast as one of two.
#pragma unroll
    for (int i = 0; i < AT_ONCE + N - 3; ++i) {
      best[i].lower(best[i + 1]);
      best[i].lower(best[i + 2]);
    }
    if constexpr (N == 5) lengthen<T, AT_ONCE, 5, 3>(best);
  } else if constexpr (SIZE < N) {
    constexpr int BY = 2 * SIZE <= N ? SIZE : N - SIZE;
#pragma unroll
    for (int i = 0; i < AT_ONCE + N - SIZE - BY; ++i) best[i].lower(best[i + BY]);
    lengthen<T, AT_ONCE, N, SIZE + BY>(best);
  }
}

// Minima of N rows, for each of a column's first `count` rows: of 1, 2, 4, ... rows, then of two such runs. The column
// has N - 1 more rows, and memory for a multiple of eight.
template <typename T, int N>
__device__ __forceinline__ void lower_column(WordOf<T>* column, int count) {
  constexpr int AT_ONCE = sizeof(T) < 8 ? 8 : 4;  // limited by registers
#pragma unroll 1
  for (int first = 0; first < count; first += AT_ONCE) {
    WordOf<T>* const from = column + first * STRIP_WORDS;
    Lanes<T> best[AT_ONCE + N - 1];
#pragma unroll
    for (int i = 0; i < AT_ONCE + N - 1; ++i) best[i] = Lanes<T>(from[i * STRIP_WORDS]);
    lengthen<T, AT_ONCE, N>(best);
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i) from[i * STRIP_WORDS] = best[i].word();
  }
}

// The same for n0 rows, from runs of N.
template <typename T, int N>
__device__ __forceinline__ void lower_far(WordOf<T>* column, int n0, int count) {
  lower_column<T, N>(column, count + n0 - N);
  if (n0 == N) return;
  const WordOf<T>* const other = column + (n0 - N) * STRIP_WORDS;
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
    Lanes<T> best(column[i * STRIP_WORDS]);
    best.lower(Lanes<T>(other[i * STRIP_WORDS]));
    column[i * STRIP_WORDS] = best.word();
  }
}

// Minima of N neighbours from `offset` on, for single-channel images of bytes. A word and the one a byte before it have
// their bytes in the positions that are compared, so that each neighbour takes only one shift.
template <int N>
__device__ __forceinline__ unsigned adjacent(const unsigned* at, int offset) {
  at += offset / 4;
  const int bits = offset % 4 * 8;
  unsigned low = __funnelshift_r(at[0], at[1], bits), high = __funnelshift_r(at[1], at[2], bits);
  const unsigned before = low << 8;
  unsigned shared = low, last = 0;
#pragma unroll
  for (int k = 1; k < N; ++k) {
    if (k % 4 == 0) {
      low = high;
      if (k + 1 < N) high = __funnelshift_r(at[k / 4 + 1], at[k / 4 + 2], bits);
    }
    last = k % 4 == 0 ? low : __funnelshift_r(low, high, 8 * (k % 4));
    if (k < N - 1) shared = __vminu2(shared, last);
  }
  return __byte_perm(__vminu2(shared, before), __vminu2(shared, last), 0x7351);
}

// Minima of N neighbours from `offset` on; those of a word's two elements are adjacent.
template <int N, typename T>
__device__ __forceinline__ WordOf<T> neighbouring(const WordOf<T>* at, int offset, int apart) {
  if constexpr (Words<T>::elements == 1) {
    Lanes<T> best(at[offset]);
#pragma unroll
    for (int k = 1; k < N; ++k) best.lower(Lanes<T>(at[offset + k * apart]));
    return best.word();
  } else {
    at += offset / 2;
    const int bits = offset % 2 * 16;
    WordOf<T> low = __funnelshift_r(at[0], at[1], bits);
    Lanes<T> best(low);
#pragma unroll
    for (int k = 1; k < N; k += 2) {
      const WordOf<T> high = __funnelshift_r(at[k / 2 + 1], at[k / 2 + 2], bits);
      best.lower(Lanes<T>(__funnelshift_r(low, high, 16)));
      if (k + 1 < N) best.lower(Lanes<T>(high));
      low = high;
    }
    return best.word();
  }
}

// Calls call(Count<N>()) for the given size N that equals `n`; returns whether there is one.
template <int N, int... OTHERS, typename Call>
__device__ __forceinline__ bool with_size(int n, Call call) {
  if (n == N) {
    call(Count<N>());
    return true;
  }
#if defined(__CUDA_ARCH__)
  asm("" : "+r"(n));  // prevents a jump table
#endif
  if constexpr (sizeof...(OTHERS) > 0)
    return with_size<OTHERS...>(n, call);
  else
    return false;
}

// The same for the sizes whose windows of T fit in registers.
template <typename T, typename Call>
__device__ __forceinline__ bool with_held(int n, Call call) {
  if constexpr (sizeof(T) < 8)
    return with_size<3, 5, 7, 13>(n, call);
  else
    return with_size<3, 5, 7>(n, call);
}

// Small windows in one launch: load the block's strip, then minima down its columns, then along its rows, one warp per
// row. A strip has `height` rows and `words` words of results.
template <typename T, typename U>
__global__ void __launch_bounds__(128, 7) near(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                                            long long dst_cols, long long top, long long bottom, long long step,
                                            long long mode, double cval, long long above, long long n0, long long left,
                                            long long n1, long long flip, long long height, long long words) {
  typedef WordOf<T> W;
  DYNAMIC_SHARED(W, strip);
  const W turn = turning<T>(flip != 0);
  const Strip place(src, cols, words, left * step);
  const int taps = int(n1), apart = int(step);
  for (long long first = top + blockIdx.y * height; first < bottom; first += gridDim.y * height) {
    const int count = int(min(height, bottom - first)), down = int(n0);
    load_strip<T>(src, rows, cols, step, mode, cval, first - above, place.left, count + down - 1, turn, strip);
    W* const column = strip + threadIdx.x;
    if (!with_held<T>(down, [=](auto rows_of) { lower_column<T, rows_of.value>(column, count); })) {
      if (down >= 16)
        lower_far<T, 16>(column, down, count);
      else if (down >= 8)
        lower_far<T, 8>(column, down, count);
      else if (down >= 4)
        lower_far<T, 4>(column, down, count);
      else if (down == 2)
        lower_column<T, 2>(column, count);
    }
    __syncthreads();
    const auto rows_by = [&](auto prepare, auto pick) {
      each_row(place, strip, count, dst + first * cols, cols, int(words), left * step, prepare, pick);
    };
    const auto nothing = [](W*) {};
    bool done = false;
    if (Words<T>::elements == 1 || apart == 1) {
      done = with_held<T>(taps, [=](auto neighbours) {
        constexpr int COUNT = decltype(neighbours)::value;
        rows_by(nothing, [=](const W* at, int offset) {
          if constexpr (SameType<T, unsigned char>::value)
            return adjacent<COUNT>(at, offset) ^ turn;
          else
            return neighbouring<COUNT, T>(at, offset, apart) ^ turn;
        });
      });
    }
    if (!done && taps == 3) {
      rows_by(nothing, [=](const W* at, int offset) {
        Lanes<T> best(strip_word<T>(at, offset));
        best.lower(Lanes<T>(strip_word<T>(at, offset + apart)));
        best.lower(Lanes<T>(strip_word<T>(at, offset + 2 * apart)));
        return best.word() ^ turn;
      });
    } else if (!done && taps <= 5) {
      rows_by(nothing, [=](const W* at, int offset) {
        Lanes<T> best(strip_word<T>(at, offset));
        for (int tap = 1; tap < taps; ++tap) best.lower(Lanes<T>(strip_word<T>(at, offset + tap * apart)));
        return best.word() ^ turn;
      });
    } else if (!done) {
      int size = 1;
      while (2 * size <= taps) size *= 2;
      const auto runs = [=](W* line) {
        for (int have = 1; have < size; have *= 2) double_run<T>(line, have * apart);
      };
      rows_by(runs, [=](const W* at, int offset) {
        Lanes<T> best(strip_word<T>(at, offset));
        best.lower(Lanes<T>(strip_word<T>(at, offset + (taps - size) * apart)));
        return best.word() ^ turn;
      });
    }
    __syncthreads();
  }
}
