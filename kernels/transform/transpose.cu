// launch: tile 32x8, pixels 4x16
// instances: transpose<M, M>
#include "vectors.cuh"

constexpr int LANES = 32, ROWS = 128;  // of the source in a tile

// A lane's word of a row.
template <typename T, bool = (sizeof(T) < 8)>
struct Lane {
  typedef unsigned type;
};
template <typename T>
struct Lane<T, false> {
  typedef unsigned long long type;
};

// Load a word of adjacent elements at any alignment; elements outside [begin, end) are not read and set to 0.
template <typename W, typename T>
__device__ __forceinline__ W load_word(const T* p, const T* begin, const T* end) {
  constexpr int E = sizeof(W) / sizeof(T);
  if constexpr (E == 1) {
    return p >= begin && p < end ? __ldg(p) : T(0);
  } else {
    const unsigned shift = unsigned(address_of(p) % sizeof(W));
    const W* const word = reinterpret_cast<const W*>(address_of(p) - shift);
    if (address_of(word) >= address_of(begin) && address_of(word + 2) <= address_of(end)) {
      const W low = __ldg(word);
      return shift == 0 ? low : __funnelshift_r(low, __ldg(word + 1), 8 * shift);
    }
    W made = 0;
#pragma unroll
    for (int i = 0; i < E; ++i)
      if (p + i >= begin && p + i < end) made |= W(p[i]) << (8 * sizeof(T) * i);
    return made;
  }
}

// Transpose words of E elements, one from each of E rows.
template <typename T, typename W>
__device__ __forceinline__ void turn_square(W (&w)[sizeof(W) / sizeof(T)]) {
  if constexpr (sizeof(W) / sizeof(T) == 2) {
    const W a = w[0];
    w[0] = __byte_perm(a, w[1], 0x5410);
    w[1] = __byte_perm(a, w[1], 0x7632);
  } else if constexpr (sizeof(W) / sizeof(T) == 4) {
    const W low = __byte_perm(w[0], w[1], 0x5140), high = __byte_perm(w[0], w[1], 0x7362);
    const W more_low = __byte_perm(w[2], w[3], 0x5140), more_high = __byte_perm(w[2], w[3], 0x7362);
    w[0] = __byte_perm(low, more_low, 0x5410);
    w[1] = __byte_perm(low, more_low, 0x7632);
    w[2] = __byte_perm(high, more_high, 0x5410);
    w[3] = __byte_perm(high, more_high, 0x7632);
  }
}

// Store the words of all lanes consecutively from out on; only `count` elements from out on are in the image.
template <typename T, typename W>
__device__ __forceinline__ void store_words(T* out, W word, long long count) {
  constexpr int E = sizeof(W) / sizeof(T);
  const int lane = threadIdx.x;
  if constexpr (E == 1) {
    if (lane < count) out[lane] = word;
  } else {
    const int lead = int((sizeof(W) - address_of(out) % sizeof(W)) % sizeof(W) / sizeof(T));
    const W next = __shfl_down_sync(0xffffffffu, word, 1);
    if (lead > 0) {
      if (lane == 0) {
#pragma unroll
        for (int i = 0; i < E - 1; ++i)
          if (i < lead && i < count) out[i] = T(word >> (8 * sizeof(T) * i));
      }
      word = __funnelshift_r(word, next, 8 * unsigned(sizeof(T)) * lead);
    }
    const int first = lane * E + lead;
    if (first + E <= count && first + E <= LANES * E) {
      *reinterpret_cast<W*>(out + first) = word;
    } else {
#pragma unroll
      for (int i = 0; i < E; ++i)
        if (first + i < count && first + i < LANES * E) out[first + i] = T(word >> (8 * sizeof(T) * i));
    }
  }
}

// Shared memory of a block, for both kinds of tiles.
template <typename T>
struct Tile {
  typedef typename Lane<T>::type W;
  static constexpr int E = sizeof(W) / sizeof(T), SIDE = LANES * E, PAD = 4 / sizeof(T) > 1 ? 4 / sizeof(T) : 1;
  static constexpr int MOST_CHANNELS = 4;
  union {
    W words[ROWS][LANES];
    T pixels[ROWS * LANES + (ROWS + MOST_CHANNELS) * PAD + 2 * LANES * MOST_CHANNELS];
  };
};

// Pixels of one element: one word per lane of each of ROWS rows. The position of a word in its row is swizzled by the
// row's index, so that words of one column are in different banks.
template <typename T>
__device__ __forceinline__ void turn_words(Tile<T>& tile, const T* src, long long rows, long long cols, T* dst,
                                           long long dst_cols, long long pixel, long long row, long long bottom,
                                           bool turned_rows, bool turned_cols) {
  typedef typename Tile<T>::W W;
  constexpr int E = Tile<T>::E, SIDE = Tile<T>::SIDE, TURNS = ROWS / 8;
  constexpr int FLIGHT = E > 1 ? 8 : 32 / sizeof(W);  // rows whose loads are in flight
  const int lane = threadIdx.x;
  const long long first = turned_cols ? cols - row - SIDE : row, stride = turned_rows ? -cols : cols;
  const T* line = src + (turned_rows ? rows - 1 - pixel : pixel) * cols + (int)threadIdx.y * stride;
  if (first >= E && first + SIDE + E <= cols && pixel + ROWS <= rows) {
    const T* p = line + first + lane * E;
    const unsigned offset = unsigned(address_of(p)), step = 8 * unsigned(stride) * sizeof(T);
#pragma unroll
    for (int turn = 0; turn < TURNS; turn += FLIGHT) {
      W low[FLIGHT], high[FLIGHT];
#pragma unroll
      for (int k = 0; k < FLIGHT; ++k, p += 8 * stride) {
        const W* const word = reinterpret_cast<const W*>(address_of(p) & ~(sizeof(W) - 1ull));
        low[k] = __ldg(word);
        if constexpr (E > 1) high[k] = __ldg(word + 1);
      }
#pragma unroll
      for (int k = 0; k < FLIGHT; ++k) {
        const int i = (turn + k) * 8 + threadIdx.y;
        W word = low[k];
        if constexpr (E > 1)
          word = __funnelshift_r(low[k], high[k], 8 * ((offset + (turn + k) * step) % unsigned(sizeof(W))));
        tile.words[i][lane ^ (i / E % LANES)] = word;
      }
    }
  } else {
#pragma unroll 1
    for (int i = threadIdx.y; i < ROWS && pixel + i < rows; i += 8, line += 8 * stride)
      tile.words[i][lane ^ (i / E % LANES)] = load_word<W>(line + first + lane * E, line, line + cols);
  }
  __syncthreads();
#pragma unroll 1
  for (int column = threadIdx.y; column < LANES; column += 8) {
    const int place = turned_cols ? SIDE - 1 - column * E : column * E;
    T* const out = dst + (row + place) * dst_cols + pixel;
#pragma unroll
    for (int part = 0; part < ROWS / SIDE; ++part) {
      const long long count = rows - pixel - part * SIDE;
      if (count <= 0) break;
      W w[E];
#pragma unroll
      for (int i = 0; i < E; ++i) w[i] = tile.words[part * SIDE + lane * E + i][column ^ lane];
      turn_square<T>(w);
#pragma unroll
      for (int i = 0; i < E; ++i) {
        const int next = turned_cols ? -i : i;
        if (row + place + next < bottom) store_words(out + next * dst_cols + part * SIDE, w[i], count);
      }
    }
  }
  __syncthreads();
}

// Pixels of several elements: `ROWS` elements of the result from x on, in LANES of its rows.
template <typename T>
__device__ __forceinline__ void turn_pixels(Tile<T>& tile, const T* src, long long rows, long long cols, T* dst,
                                            long long dst_cols, long long x, long long row, long long bottom, int step,
                                            bool turned_rows, bool turned_cols) {
  const int width = LANES * step, pitch = width + Tile<T>::PAD;
  const long long pixel = x / step, first = (turned_cols ? cols / step - row - LANES : row) * step;
  const int count = int((x + ROWS - 1 < dst_cols ? x + ROWS - 1 : dst_cols - 1) / step - pixel) + 1;
  for (int i = threadIdx.y; i < count; i += 8) {
    const T* const line = src + (turned_rows ? rows - 1 - pixel - i : pixel + i) * cols;
    for (int k = threadIdx.x; k < width; k += LANES)
      if (first + k >= 0 && first + k < cols) tile.pixels[i * pitch + k] = __ldg(line + first + k);
  }
  __syncthreads();
#pragma unroll
  for (int k = threadIdx.x; k < ROWS; k += LANES) {
    if (x + k >= dst_cols) break;
    const int within = int(x - pixel * step) + k;
    const T* const held = tile.pixels + within / step * pitch + within % step;
    for (int i = threadIdx.y; i < LANES && row + i < bottom; i += 8)
      dst[(row + i) * dst_cols + x + k] = held[(turned_cols ? LANES - 1 - i : i) * step];
  }
  __syncthreads();
}

// Transpose, with rows or columns reversed: rotation by 90 degrees.
template <typename T, typename U>
__global__ void __launch_bounds__(256, 4)
    transpose(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
              long long top, long long bottom, long long step, long long turned_rows, long long turned_cols) {
  __shared__ Tile<T> tile;
  const long long x = (long long)blockIdx.x * ROWS, row = top + (long long)blockIdx.y * 128;
  const bool rows_back = turned_rows != 0, cols_back = turned_cols != 0;
  const int side = step == 1 ? Tile<T>::SIDE : LANES;
  for (long long at = row; at < row + 128 && at < bottom; at += side) {
    if (step == 1) {
      turn_words(tile, src, rows, cols, dst, dst_cols, x, at, bottom, rows_back, cols_back);
    } else if (step <= Tile<T>::MOST_CHANNELS) {
      turn_pixels(tile, src, rows, cols, dst, dst_cols, x, at, bottom, int(step), rows_back, cols_back);
    } else {
      for (int i = threadIdx.y; i < side && at + i < bottom; i += 8) {
        const long long col = (cols_back ? cols / step - 1 - at - i : at + i) * step;
        for (long long k = x + threadIdx.x; k < x + ROWS && k < dst_cols; k += LANES) {
          const long long pixel = k / step;
          dst[(at + i) * dst_cols + k] = src[(rows_back ? rows - 1 - pixel : pixel) * cols + col + k % step];
        }
      }
    }
  }
}
