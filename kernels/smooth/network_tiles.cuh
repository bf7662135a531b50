// Rank filters of 3x3 and 5x5 windows by networks: a thread fills a tile two rows at a time.
#pragma once
#include "borders.cuh"
#include "networks.cuh"
#include "numbers.cuh"
#include "vectors.cuh"
#include "windows.cuh"

// The comparison type: values of up to 16 bits are compared two at a time.
template <typename T, int BYTES = sizeof(T)>
struct Lanes {
  typedef T Raw;
  typedef T V;
  static constexpr int count = 1;
  static __device__ __forceinline__ V joined(T a, T) { return a; }
  static __device__ __forceinline__ T value(V v, int) { return v; }
};
template <typename T>
struct HalfLanes {
  typedef int Raw;
  typedef Pair<(Number<T>::low < 0)> V;
  static constexpr int count = 2;
  static __device__ __forceinline__ V joined(int a, int b) { return {__byte_perm(a, b, 0x5410)}; }
  static __device__ __forceinline__ T value(V v, int lane) { return T(v.bits >> 16 * lane); }
};
template <typename T>
struct Lanes<T, 1> : HalfLanes<T> {};
template <typename T>
struct Lanes<T, 2> : HalfLanes<T> {};

// A thread's columns of one channel, from x on, and its rows, which are processed two at a time.
template <int P, typename T>
struct Tile {
  static constexpr int ROWS = 8, COLUMNS = P * Lanes<T>::count;
  long long row;
  int x, first, channel;
  bool wide;  // neighbouring columns' results are stored together

  __device__ Tile(long long cols, long long top, long long step) {
    const int thread = blockIdx.x * blockDim.x + threadIdx.x, apart = int(step);
    const int group = apart == 1 ? thread : thread / apart;
    channel = thread - group * apart;
    first = group * COLUMNS;
    x = first * apart + channel;
    row = top + ((long long)blockIdx.y * blockDim.y + threadIdx.y) * ROWS;
    wide = apart == 1 && x + COLUMNS <= cols;
  }
};

// The first NaN of a window's values, if any: networks lose it. Searched one by one, as this is rare.
template <int SIZE, int P, typename T>
__device__ __forceinline__ void spread_nan(const T* src, long long rows, long long cols, T* dst, const Tile<P, T>& tile,
                                           long long bottom, long long step, long long mode, double cval) {
#pragma unroll 1
  for (int k = 0; k < tile.ROWS * tile.COLUMNS; ++k) {
    const long long row = tile.row + k % tile.ROWS, x = tile.x + k / tile.ROWS * step;
    if (row >= bottom || x >= cols) continue;
#pragma unroll 1
    for (int i = 0; i < SIZE * SIZE; ++i) {
      const T v = at(src, rows, cols, row + i / SIZE - SIZE / 2, x + (i % SIZE - SIZE / 2) * step, step, mode, cval);
      if (!is_nan(v)) continue;
      dst[row * cols + x] = v;
      break;
    }
  }
}

// Two bytes in the upper halves of their lanes, each with the byte before it in the lower half, which only breaks ties:
// these are unmodified words of the image, from the byte before the first one on.
struct Adjacent {
  const unsigned* words;  // aligned; the second one holds the tile's columns

  // The pairs of a row of windows of SIZE values: bytes j and j + 2.
  template <int SIZE, int COUNT>
  __device__ __forceinline__ void pairs(Pair<false> (&v)[COUNT]) const {
    const unsigned from[] = {__ldg(words), __ldg(words + 1), __ldg(words + 2)};
#pragma unroll
    for (int j = 0; j < COUNT; ++j) {
      const int first = 4 - SIZE / 2 + j - 1;
      v[j].bits = first % 4 ? __funnelshift_r(from[first / 4], from[first / 4 + 1], 8 * (first % 4)) : from[first / 4];
    }
  }
};

// Fill rows `row` and `row` + 1 of a tile; returns whether values may be NaN. lines(i) reads row i of the windows,
// network(values, results) selects the results, in the order defined by network.turned(value).
template <int SIZE, int P, typename T, typename Lines, typename Network>
__device__ __forceinline__ bool fill_pair(T* dst, long long cols, const Tile<P, T>& tile, long long row, int count,
                                          long long step, Lines lines, Network network) {
  typedef Lanes<T> L;
  constexpr int COLUMNS = Tile<P, T>::COLUMNS;
  typename L::V v[SIZE + 1][P + SIZE - 1], out[2][P];
  constexpr bool WORDS = SameType<decltype(lines(0)), Adjacent>::value;
  T doubt = T(0);
#pragma unroll
  for (int i = 0; i < SIZE + 1; ++i) {
    const auto line = lines(i);
    if constexpr (WORDS) {
      line.template pairs<SIZE>(v[i]);
#pragma unroll
      for (int j = 0; j < P + SIZE - 1; ++j) v[i][j] = network.turned(v[i][j]);
      continue;
    } else {
      typename L::Raw c[COLUMNS + SIZE - 1];
#pragma unroll
      for (int j = 0; j < COLUMNS + SIZE - 1; ++j) {
        c[j] = line(j);
        // Becomes NaN if the value is NaN or infinite.
        if constexpr (SameType<T, float>::value) doubt = __fmaf_rn(c[j], 0.0f, doubt);
        if constexpr (SameType<T, double>::value) doubt = __fma_rn(c[j], 0.0, doubt);
      }
#pragma unroll
      for (int j = 0; j < P + SIZE - 1; ++j) v[i][j] = network.turned(L::joined(c[j], c[j + COLUMNS - P]));
    }
  }
  network(v, out);
  T* const to = dst + row * cols + tile.x;
#pragma unroll
  for (int y = 0; y < 2; ++y) {
    if (y >= count) continue;
    Pack<T, COLUMNS> pixels;
#pragma unroll
    for (int k = 0; k < COLUMNS; ++k) {
      const auto found = network.turned(out[y][k % P]);
      if constexpr (WORDS)
        pixels.v[k] = T(found.bits >> (16 * (k / P) + 8));
      else
        pixels.v[k] = L::value(found, k / P);
    }
    if (tile.wide && address_of(to + y * cols) % sizeof(pixels) == 0) {
      store_aligned<T, COLUMNS>(to + y * cols, pixels);
    } else {
#pragma unroll
      for (int k = 0; k < COLUMNS; ++k)
        if (tile.x + k * step < cols) to[y * cols + k * step] = pixels.v[k];
    }
  }
  return is_nan(doubt);
}

// Fill a tile inside the image. STEP: the distance of pixels; 0 if known only at run time, `step`. WORDS: bytes are
// read in aligned words.
template <int SIZE, int STEP, bool WORDS, int P, typename T, typename Network>
__device__ __forceinline__ bool fill_inside(const T* src, long long cols, T* dst, const Tile<P, T>& tile,
                                            long long step, Network network) {
  const int apart = STEP ? STEP : int(step);
  const T* first = src + (tile.row - SIZE / 2) * cols + tile.x - SIZE / 2 * apart;
  const unsigned int pitch = (unsigned int)cols * sizeof(T);
  bool doubt = false;
  if constexpr (WORDS) {
    const unsigned* const words = reinterpret_cast<const unsigned*>(first + SIZE / 2 - 4);
#pragma unroll(SIZE == 3 ? Tile<P, T>::ROWS / 2 : 1)
    for (int k = 0; k < Tile<P, T>::ROWS; k += 2)
      fill_pair<SIZE>(dst, cols, tile, tile.row + k, 2, step,
                      [=](int i) { return Adjacent{rows_below(words, k + i, pitch)}; }, network);
    return false;
  }
#pragma unroll(SIZE == 3 ? Tile<P, T>::ROWS / 2 : 1)
  for (int k = 0; k < Tile<P, T>::ROWS; k += 2) {
    const auto lines = [=](int i) {
      const T* const line = rows_below(first, k + i, pitch);
      return [=](int j) { return load_as<typename Lanes<T>::Raw>(line + j * apart); };
    };
    doubt |= fill_pair<SIZE>(dst, cols, tile, tile.row + k, 2, step, lines, network);
  }
  return doubt;
}

// Fill a tile anywhere, with borders.
template <int SIZE, int P, typename T, typename Network>
__device__ __forceinline__ bool fill_beyond(const T* src, long long rows, long long cols, T* dst,
                                            const Tile<P, T>& tile, long long bottom, long long step, long long mode,
                                            double cval, Network network) {
  typedef typename Lanes<T>::Raw Raw;
  constexpr int HALF = SIZE / 2, WIDTH = Tile<P, T>::COLUMNS + SIZE - 1;
  int column[WIDTH];
#pragma unroll
  for (int j = 0; j < WIDTH; ++j) {
    const long long pixel = fold_near(tile.first + j - HALF, cols / step, mode);
    column[j] = pixel < 0 ? -1 : int(pixel * step + tile.channel);
  }
  bool doubt = false;
#pragma unroll 1
  for (int k = 0; k < tile.ROWS && tile.row + k < bottom; k += 2) {
    const auto lines = [&](int i) {
      const long long row = tile.row + k + i - HALF, last = bottom - 1 + HALF;
      const long long r = fold_near(row < last ? row : last, rows, mode);
      const T* const line = src + r * cols;
      return [&column, line, cval, there = r >= 0](int j) {
        return there && column[j] >= 0 ? Raw(__ldg(line + column[j])) : Raw(T(cval));
      };
    };
    doubt |= fill_pair<SIZE>(dst, cols, tile, tile.row + k, tile.row + k + 1 < bottom ? 2 : 1, step, lines, network);
  }
  return doubt;
}

template <int SIZE, int P, typename T, typename Network>
__device__ __forceinline__ void fill_tile(const T* src, long long rows, long long cols, T* dst, long long top,
                                          long long bottom, long long step, long long mode, double cval,
                                          Network network) {
  constexpr int HALF = SIZE / 2, ROWS = Tile<P, T>::ROWS, COLUMNS = Tile<P, T>::COLUMNS;
  const Tile<P, T> tile(cols, top, step);
  if (tile.x >= cols || tile.row >= bottom) return;
  bool doubt;
  if (tile.row < HALF || tile.row + ROWS + HALF > rows || tile.row + ROWS > bottom || tile.first < HALF ||
      tile.x + (COLUMNS - 1 + HALF) * step >= cols)
    doubt = fill_beyond<SIZE>(src, rows, cols, dst, tile, bottom, step, mode, cval, network);
  else if (sizeof(T) == 1 && step == 1 && ((address_of(src) | (unsigned long long)cols) & 3) == 0)
    doubt = fill_inside<SIZE, 1, sizeof(T) == 1>(src, cols, dst, tile, step, network);
  else if (step == 1)
    doubt = fill_inside<SIZE, 1, false>(src, cols, dst, tile, step, network);
  else
    doubt = fill_inside<SIZE, 0, false>(src, cols, dst, tile, step, network);
  if (doubt) spread_nan<SIZE>(src, rows, cols, dst, tile, bottom, step, mode, cval);
}

// Columns of a thread's lanes, limited by registers.
template <typename T>
constexpr int NINE_COLUMNS = sizeof(T) == 4 ? 4 : 2;

// Blocks per multiprocessor for 25 values, as many as registers allow without spilling, to hide the latency of loads.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900
constexpr bool MANY_REGISTERS = false;
#else
constexpr bool MANY_REGISTERS = true;  // are taken by pairs of values
#endif
template <typename T>
constexpr int MEDIAN_BLOCKS = sizeof(T) < 4 && MANY_REGISTERS ? 2 : 3;
template <typename T>
constexpr int RANK_BLOCKS = sizeof(T) < 4 ? 2 : 3;
