// launch: tile 32x8, pixels 4x1
// instances: convolve<unsigned char, int>; convolve<unsigned char, float>; convolve<unsigned char, double>
// instances: convolve<unsigned short, float>; convolve<unsigned short, double>; convolve<short, float>
// instances: convolve<short, double>; convolve<float, float>; convolve<double, double>
// instances: byte_convolve<unsigned char>; near_convolve<unsigned char, int>; near_convolve<unsigned char, float>
// instances: near_convolve<unsigned char, double>; near_convolve<unsigned short, float>
// instances: near_convolve<unsigned short, double>; near_convolve<short, float>; near_convolve<short, double>
// instances: near_convolve<float, float>; near_convolve<double, double>
// instances: convolve<unsigned short, float, true>; convolve<short, float, true>
// instances: near_convolve<unsigned short, float, true>; near_convolve<short, float, true>
// instances: few_convolve<unsigned char, int, 3>; few_convolve<unsigned short, float, 3>
// instances: few_convolve<short, float, 3>; few_convolve<float, float, 3>; few_convolve<unsigned char, int, 5>
// instances: few_convolve<unsigned short, float, 5>; few_convolve<short, float, 5>; few_convolve<float, float, 5>
#include "borders.cuh"
#include "columns.cuh"
#include "few_convolve.cuh"
#include "numbers.cuh"
#include "tiles.cuh"

// Weighted sums of windows, in the type of the weights, row by row as on the CPU; zero weights are no taps. Sums with
// integer weights are shifted down at the end. ROWS: each row of a window is summed separately first.

constexpr int THREADS = 256, ACROSS = 4, DOWN = 4;  // results of a thread: 32 elements apart, in adjacent rows
constexpr int WIDTH = 32 * ACROSS, HEIGHT = THREADS / 32 * DOWN;  // of a block's
template <typename A>
constexpr int BLOCKS = sizeof(A) == 4 ? 4 : 2;  // of a multiprocessor, as registers allow

// Convert a sum to a pixel: integers are rounded half to even and saturated.
template <typename T, typename A>
__device__ __forceinline__ T finished(A total, int shift) {
  if constexpr (SameType<A, int>::value) {
    const int any = shift > 0, odd = total >> shift & any;
    return saturated<T>((total + ((1 << shift >> 1) - any) + odd) >> shift);
  } else {
    return rounded<T>(total);
  }
}

// Load `loaded` rows of `filled` elements, beginning at (row, left), into shared memory. Inside the image many loads
// are in flight at once.
template <typename T, typename A>
__device__ __forceinline__ void load_tile(const T* src, long long rows, long long cols, long long row, long long left,
                                          int loaded, int filled, long long step, long long mode, double cval,
                                          A* tile) {
  constexpr int WARPS = THREADS / 32, BATCH = 6;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (row >= 0 && row + loaded <= rows && left >= 0 && left + filled <= cols) {
    const T* const first = src + (row + warp) * cols + left;
#pragma unroll 1
    for (int x = lane; x < filled; x += 32) {
      const T* from = first + x;
      A* to = tile + warp * filled + x;
#pragma unroll 1
      for (int i = warp; i < loaded; i += BATCH * WARPS) {
        T values[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; ++k, from += WARPS * cols) values[k] = i + k * WARPS < loaded ? __ldg(from) : T(0);
#pragma unroll
        for (int k = 0; k < BATCH; ++k, to += WARPS * filled)
          if (i + k * WARPS < loaded) *to = A(values[k]);
      }
    }
    return;
  }
#pragma unroll 1
  for (int i = warp; i < loaded; i += WARPS) {
    const long long r = fold(row + i, rows, mode);
#pragma unroll 1
    for (int x = lane; x < filled; x += 32) {
      const long long c = fold_element(left + x, cols, step, mode);
      tile[i * filled + x] = A(r < 0 || c < 0 ? T(cval) : __ldg(src + r * cols + c));
    }
  }
}

// Add the sums of a row to the totals, and reset them.
template <typename A>
__device__ __forceinline__ void add_sums(A (&totals)[DOWN][ACROSS], A (&sums)[DOWN][ACROSS]) {
#pragma unroll
  for (int j = 0; j < DOWN; ++j)
#pragma unroll
    for (int k = 0; k < ACROSS; ++k) {
      sums[j][k] += totals[j][k];
      totals[j][k] = A(0);
    }
}

// Add a row of values to the results in rows FROM to TO, whose windows contain it; `tap` are the weights of a thread's
// lowest result, those of the one above it are one row further on. CHECKED: a zero weight is no tap, as it does not
// propagate NaN or infinity.
template <int FROM, int TO, bool CHECKED, bool ROWS, typename A>
__device__ __forceinline__ void add_row_of_taps(const A* tap, const A* from, int wide, int apart,
                                                A (&totals)[DOWN][ACROSS], A (&sums)[DOWN][ACROSS]) {
#pragma unroll 1
  for (int col = 0; col < wide; ++col, ++tap, from += apart) {
    A values[ACROSS];
#pragma unroll
    for (int k = 0; k < ACROSS; ++k) values[k] = from[32 * k];
#pragma unroll
    for (int j = FROM; j <= TO; ++j) {
      const A weight = tap[(DOWN - 1 - j) * wide];
      if (CHECKED && weight == A(0)) continue;
#pragma unroll
      for (int k = 0; k < ACROSS; ++k) totals[j][k] += weight * values[k];
    }
  }
  if (ROWS) add_sums(totals, sums);
}

// Add `count` rows of weights, row by row.
template <bool CHECKED, bool ROWS, typename A>
__device__ __forceinline__ void add_by_rows(const A* tap, const A* from, int count, int wide, int filled, int apart,
                                            A (&totals)[DOWN][ACROSS], A (&sums)[DOWN][ACROSS]) {
  if (count < DOWN - 1) {  // with the rows of zeros on either side, whose values may not have been loaded
#pragma unroll 1
    for (int row = 0; row < count + DOWN - 1; ++row, tap += wide, from += filled)
      add_row_of_taps<0, 3, true, ROWS>(tap, from, wide, apart, totals, sums);
    return;
  }
  add_row_of_taps<0, 0, CHECKED, ROWS>(tap, from, wide, apart, totals, sums);
  add_row_of_taps<0, 1, CHECKED, ROWS>(tap += wide, from += filled, wide, apart, totals, sums);
  add_row_of_taps<0, 2, CHECKED, ROWS>(tap += wide, from += filled, wide, apart, totals, sums);
#pragma unroll 1
  for (int row = DOWN - 1; row < count; ++row)
    add_row_of_taps<0, 3, CHECKED, ROWS>(tap += wide, from += filled, wide, apart, totals, sums);
  add_row_of_taps<1, 3, CHECKED, ROWS>(tap += wide, from += filled, wide, apart, totals, sums);
  add_row_of_taps<2, 3, CHECKED, ROWS>(tap += wide, from += filled, wide, apart, totals, sums);
  add_row_of_taps<3, 3, CHECKED, ROWS>(tap + wide, from + filled, wide, apart, totals, sums);
}

// Add the next value of a thread's columns to the results in rows FROM to TO, after the weights have moved a row down.
template <int FROM, int TO, typename A>
__device__ __forceinline__ void add_values(A (&held)[DOWN], A weight, const A* from, A (&totals)[DOWN][ACROSS]) {
#pragma unroll
  for (int j = DOWN - 1; j > 0; --j) held[j] = held[j - 1];
  held[0] = weight;
#pragma unroll
  for (int k = 0; k < ACROSS; ++k) {
    const A value = from[32 * k];
#pragma unroll
    for (int j = FROM; j <= TO; ++j) totals[j][k] += held[j] * value;
  }
}

// Add `count` rows of weights, at least DOWN - 1 of them, column by column: each weight is read once. Sums of integers
// do not depend on the order.
template <typename A>
__device__ __forceinline__ void add_by_columns(const A* taps, const A* values, int count, int wide, int filled,
                                               int apart, A (&totals)[DOWN][ACROSS]) {
#pragma unroll 1
  for (int col = 0; col < wide; ++col) {
    const A *tap = taps + col, *from = values + col * apart;
    A held[DOWN] = {};
    add_values<0, 0>(held, *tap, from, totals);
    add_values<0, 1>(held, *(tap += wide), from += filled, totals);
    add_values<0, 2>(held, *(tap += wide), from += filled, totals);
#pragma unroll 4
    for (int row = DOWN - 1; row < count; ++row) add_values<0, 3>(held, *(tap += wide), from += filled, totals);
    add_values<1, 3>(held, A(0), from += filled, totals);
    add_values<2, 3>(held, A(0), from += filled, totals);
    add_values<3, 3>(held, A(0), from + filled, totals);
  }
}

// A block keeps its tile in shared memory, for `part` rows of the weights at a time; these follow the tile, with DOWN -
// 1 rows of zeros on either side.
template <typename T, typename A, bool ROWS = false>
__global__ void __launch_bounds__(256, BLOCKS<A>)
    near_convolve(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                  long long top, long long bottom, long long step, long long mode, double cval, const A* weights,
                  long long height, long long width, long long shift, long long part) {
  static_assert(DOWN == 4, "the first and the last three rows are written out");
  DYNAMIC_SHARED(A, tile);
  const int high = int(height), wide = int(width), most = int(part), apart = int(step);
  const int filled = WIDTH + (wide - 1) * apart;
  A* const taps = tile + (HEIGHT + most - 1) * filled;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const long long first = top + (long long)blockIdx.y * HEIGHT, left = (long long)blockIdx.x * WIDTH;
  const int done = bottom - first < HEIGHT ? int(bottom - first) : HEIGHT;  // rows of results; no others may be read
  A totals[DOWN][ACROSS] = {}, sums[DOWN][ACROSS] = {};
#pragma unroll 1
  for (int begin = 0; begin < high; begin += most) {
    const int count = min(most, high - begin), loaded = done + count - 1;
    __syncthreads();
    load_tile(src, rows, cols, first - (high - 1) / 2 + begin, left - (wide - 1) / 2 * step, loaded, filled, step, mode,
              cval, tile);
#pragma unroll 1
    for (int i = threadIdx.x; i < (count + 2 * (DOWN - 1)) * wide; i += THREADS) {
      const int row = i / wide - (DOWN - 1);
      taps[i] = row < 0 || row >= count ? A(0) : __ldg(weights + begin * wide + i - (DOWN - 1) * wide);
    }
    __syncthreads();
    const A* from = tile + warp * DOWN * filled + lane;
    const A* const inner = taps + (DOWN - 1) * wide;
    if (high == 1) {
#pragma unroll 2
      for (int col = 0; col < wide; ++col) {
        const A weight = inner[col];
        if (weight == A(0)) continue;
#pragma unroll
        for (int j = 0; j < DOWN; ++j)
#pragma unroll
          for (int k = 0; k < ACROSS; ++k) totals[j][k] += weight * from[j * filled + 32 * k + col * apart];
      }
      if (ROWS) add_sums(totals, sums);
    } else if (SameType<A, int>::value && count >= DOWN - 1) {
      add_by_columns(inner, from, count, wide, filled, apart, totals);
    } else {
      add_by_rows<!Number<T>::whole, ROWS>(taps, from, count, wide, filled, apart, totals, sums);
    }
  }
#pragma unroll
  for (int j = 0; j < DOWN; ++j) {
    const long long row = first + warp * DOWN + j;
    if (row >= bottom) break;
#pragma unroll
    for (int k = 0; k < ACROSS; ++k) {
      const long long x = left + lane + 32 * k;
      if (x < cols) dst[row * cols + x] = finished<T>(ROWS ? sums[j][k] : totals[j][k], int(shift));
    }
  }
}

// Load `loaded` rows of `words` words of four bytes, beginning at (row, left), into shared memory: ALIGNED inside the
// image, many loads in flight at once.
template <bool ALIGNED, typename T>
__device__ __forceinline__ void load_words_inside(const T* from, long long cols, int loaded, int words,
                                                  unsigned* tile) {
  constexpr int BATCH = 8;
  const FoursOfRows mine(words);
#pragma unroll 1
  for (int i = mine.row; i < loaded; i += BATCH * mine.rows) {
    unsigned values[BATCH];
#pragma unroll
    for (int k = 0; k < BATCH; ++k) {
      const int row = i + k * mine.rows;
      values[k] = row < loaded ? load_four<ALIGNED>(from + row * cols + mine.column).words[0] : 0u;
    }
#pragma unroll
    for (int k = 0; k < BATCH; ++k) {
      const int row = i + k * mine.rows;
      if (row < loaded) tile[row * words + mine.column / 4] = values[k];
    }
  }
}

template <typename T>
__device__ __forceinline__ void load_words(const T* src, long long rows, long long cols, long long row, long long left,
                                           int loaded, int words, long long mode, double cval, unsigned* tile) {
  constexpr int BESIDE = 3;  // bytes that unaligned loads read on either side
  if (row >= 0 && row + loaded <= rows && left >= BESIDE && left + 4 * words + BESIDE <= cols) {
    const T* const from = src + row * cols + left;
    if (((address_of(from) | (unsigned long long)cols) & 3) == 0)
      load_words_inside<true>(from, cols, loaded, words, tile);
    else
      load_words_inside<false>(from, cols, loaded, words, tile);
    return;
  }
  const FoursOfRows mine(words);
#pragma unroll 1
  for (int i = mine.row; i < loaded; i += mine.rows) {
    const long long r = fold(row + i, rows, mode);
    unsigned word = 0;
#pragma unroll 1
    for (int k = 0; k < 4; ++k) {
      const long long c = fold_element(left + mine.column + k, cols, 1, mode);
      word |= unsigned(r < 0 || c < 0 ? T(cval) : __ldg(src + r * cols + c)) << 8 * k;
    }
    tile[i * words + mine.column / 4] = word;
  }
}

// Add the products of four taps, in two pairs, and the bytes from each of the first four of two words on.
__device__ __forceinline__ void add_taps(uint2 taps, unsigned word, unsigned next, int (&totals)[ACROSS]) {
  const unsigned odd = __funnelshift_r(word, next, 8), beyond = next >> 8;
  totals[0] = add_products<true>(taps.y, word, add_products<false>(taps.x, word, totals[0]));
  totals[1] = add_products<true>(taps.y, odd, add_products<false>(taps.x, odd, totals[1]));
  totals[2] = add_products<false>(taps.y, next, add_products<true>(taps.x, word, totals[2]));
  totals[3] = add_products<false>(taps.y, beyond, add_products<true>(taps.x, odd, totals[3]));
}

// Add the next row of a thread's words to the results in rows FROM to TO, after the taps have moved one row down.
template <int FROM, int TO>
__device__ __forceinline__ void add_row_of_words(uint2 (&held)[DOWN], uint2 taps, const unsigned* from,
                                                 int (&totals)[DOWN][ACROSS]) {
#pragma unroll
  for (int j = DOWN - 1; j > 0; --j) held[j] = held[j - 1];
  held[0] = taps;
#pragma unroll
  for (int j = FROM; j <= TO; ++j) add_taps(held[j], from[0], from[1], totals[j]);
}

// `near_convolve` for bytes of one channel and 16-bit weights, two products an instruction: a thread's results are four
// neighbours in adjacent rows. The tile, in words, follows the taps; these are kept in fours, the first of which begins
// with `lead` zeros, so that windows begin with words. A thread takes one four of each row at a time.
template <typename T>
__global__ void __launch_bounds__(256, 4)
    byte_convolve(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                  long long top, long long bottom, long long mode, double cval, const int* weights, long long height,
                  long long width, long long shift, long long part) {
  static_assert(DOWN == 4, "the first and the last three rows are written out");
  DYNAMIC_SHARED(uint2, taps);
  const int high = int(height), wide = int(width), most = int(part);
  const int halo = (wide - 1) / 2, lead = -halo & 3, fours = (lead + wide + 3) / 4, words = 32 + fours;
  unsigned* const tile = reinterpret_cast<unsigned*>(taps + most * fours);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const long long first = top + (long long)blockIdx.y * HEIGHT, left = (long long)blockIdx.x * WIDTH;
  const int done = bottom - first < HEIGHT ? int(bottom - first) : HEIGHT;  // rows of results; no others may be read
  int totals[DOWN][ACROSS] = {};
#pragma unroll 1
  for (int begin = 0; begin < high; begin += most) {
    const int count = min(most, high - begin), filled = max(count, DOWN - 1);  // rows of taps, with those of zeros
    __syncthreads();
    load_words(src, rows, cols, first - (high - 1) / 2 + begin, left - halo - lead, done + count - 1, words, mode, cval,
               tile);
#pragma unroll 1
    for (int i = threadIdx.x; i < filled * fours; i += THREADS) {
      const int row = i / fours, col = i % fours * 4 - lead;
      unsigned four[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const bool tap = row < count && col + k >= 0 && col + k < wide;
        four[k] = tap ? __ldg(weights + (begin + row) * wide + col + k) : 0;
      }
      taps[i].x = __byte_perm(four[0], four[1], 0x5410);
      taps[i].y = __byte_perm(four[2], four[3], 0x5410);
    }
    __syncthreads();
#pragma unroll 1
    for (int i = 0; i < fours; ++i) {
      const unsigned* from = tile + warp * DOWN * words + lane + i;
      const uint2* tap = taps + i;
      if (high == 1) {
#pragma unroll
        for (int j = 0; j < DOWN; ++j) add_taps(tap[0], from[j * words], from[j * words + 1], totals[j]);
        continue;
      }
      uint2 held[DOWN] = {};
      add_row_of_words<0, 0>(held, tap[0], from, totals);
      add_row_of_words<0, 1>(held, tap[fours], from += words, totals);
      add_row_of_words<0, 2>(held, tap[2 * fours], from += words, totals);
      tap += 2 * fours;
#pragma unroll 4
      for (int row = DOWN - 1; row < filled; ++row)
        add_row_of_words<0, 3>(held, *(tap += fours), from += words, totals);
      add_row_of_words<1, 3>(held, uint2(), from += words, totals);
      add_row_of_words<2, 3>(held, uint2(), from += words, totals);
      add_row_of_words<3, 3>(held, uint2(), from + words, totals);
    }
  }
  const bool aligned = ((address_of(dst) | (unsigned long long)cols) & 3) == 0;
  const long long x = left + ACROSS * lane;
#pragma unroll
  for (int j = 0; j < DOWN; ++j) {
    const long long row = first + warp * DOWN + j;
    if (row >= bottom) break;
    Pack<T, ACROSS> four;
#pragma unroll
    for (int k = 0; k < ACROSS; ++k) four.v[k] = finished<T>(totals[j][k], int(shift));
    T* const to = dst + row * cols + x;
    if (aligned && x < cols) {
      store_aligned(to, four);
    } else {
#pragma unroll
      for (int k = 0; k < ACROSS; ++k)
        if (x + k < cols) to[k] = four.v[k];
    }
  }
}

// Windows of N by N pixels of one channel.
template <typename T, typename A, int N>
__global__ void __launch_bounds__(256, 2)
    few_convolve(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                 long long top, long long bottom, long long mode, double cval, const A* weights, long long height,
                 long long width, long long shift) {
  const int down = int(shift);
  few_sums<N>(src, rows, cols, dst, top, bottom, mode, cval, weights,
              [=](A total) { return finished<T>(total, down); });
}

// Windows too wide for shared memory.
template <typename T, typename A, bool ROWS = false>
__global__ void convolve(const T* src, long long rows, long long cols, T* dst, long long dst_rows, long long dst_cols,
                         long long top, long long bottom, long long step, long long mode, double cval,
                         const A* weights, long long height, long long width, long long shift) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    A sum = A(0);
    A total = A(0);
#pragma unroll 1
    for (long long i = 0; i < height; ++i) {
#pragma unroll 1
      for (long long j = 0; j < width; ++j) {
        const A weight = __ldg(weights + i * width + j);
        if (weight == A(0)) continue;
        const long long from = row + i - (height - 1) / 2, column = x + (j - (width - 1) / 2) * step;
        total += weight * A(at(src, rows, cols, from, column, step, mode, cval));
      }
      if (ROWS) {
        sum += total;
        total = A(0);
      }
    }
    dst[row * cols + x] = finished<T>(ROWS ? sum : total, int(shift));
  });
}
