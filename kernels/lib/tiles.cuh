// A block's tile of an image, with its halo, in shared memory.
#pragma once
#include "borders.cuh"
#include "numbers.cuh"
#include "vectors.cuh"

// An image as flat rows, with its border mode.
template <typename T>
struct Surrounded {
  const T* data;
  long long rows, cols, step, mode;
  double cval;

  __device__ T operator()(long long row, long long x) const {
    return at(data, rows, cols, row, x, step, mode, cval);
  }
};

// The position of a tile, which may extend beyond the image.
struct Region {
  long long top, left;
  int height, width;
};

// a / b for 0 <= a <= 1024 and 0 < b <= 2**20, at a fraction of an integer division's instructions.
__device__ __forceinline__ int quotient(int a, int b) { return int(__fdividef(float(a) + 0.5f, float(b))); }

// Iterates over the items of a tile's rows of `width` items, for the threads of a block.
struct Strides {
  int row, column, down, along, width;

  __device__ explicit Strides(int width) : width(width) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    row = quotient(thread, width);
    column = thread - row * width;
    down = quotient(threads, width);
    along = threads - down * width;
  }
  __device__ void advance() {
    row += down;
    column += along;
    if (column >= width) {
      column -= width;
      ++row;
    }
  }
};

// Four neighbours as loaded: bytes stay in their word, which the compiler would split.
template <typename T>
struct Four {
  static constexpr int WORDS = sizeof(T);
  unsigned int words[WORDS];
};
template <>
struct Four<int> : Pack<int, 4> {};
template <>
struct Four<float> : Pack<float, 4> {};
template <>
struct Four<double> : Pack<double, 4> {};

// Load a four: ALIGNED to its size (16 bytes if it is larger), or at any address. In the latter case, elements of less
// than four bytes are read with up to three bytes before and after.
template <bool ALIGNED, typename T>
__device__ __forceinline__ Four<T> load_four(const T* p) {
  Four<T> four;
  if constexpr (sizeof(T) >= 4) {
    if constexpr (ALIGNED) {
      load_aligned(p, static_cast<Pack<T, 4>&>(four));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) four.v[i] = __ldg(p + i);
    }
  } else if constexpr (ALIGNED) {
    Pack<unsigned int, Four<T>::WORDS> words;
    load_aligned(reinterpret_cast<const unsigned int*>(p), words);
#pragma unroll
    for (int i = 0; i < Four<T>::WORDS; ++i) four.words[i] = words.v[i];
  } else {
    constexpr int WORDS = Four<T>::WORDS;
    const int shift = int(address_of(p) & 3);
    const unsigned int* const from = reinterpret_cast<const unsigned int*>(address_of(p) - shift);
    unsigned int words[WORDS + 1];
#pragma unroll
    for (int i = 0; i < WORDS; ++i) words[i] = __ldg(from + i);
    words[WORDS] = shift ? __ldg(from + WORDS) : 0u;
#pragma unroll
    for (int i = 0; i < WORDS; ++i) four.words[i] = __funnelshift_r(words[i], words[i + 1], 8 * shift);
  }
  return four;
}

// Convert short integers to floats through the bits of 2**23 + v: conversions have a fraction of the rate of additions.
template <typename A, typename T>
__device__ __forceinline__ Pack<A, 4> as_wide(const Four<T>& from) {
  Pack<A, 4> wide;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) >= 4) {
      wide.v[i] = A(from.v[i]);
    } else if constexpr (sizeof(T) == 1) {
      wide.v[i] = __uint_as_float(__byte_perm(from.words[0], 0x4B000000u, 0x7440 + i)) - 8388608.f;
    } else {
      constexpr unsigned int FLIPPED = Number<T>::low < 0 ? 0x80008000u : 0u;  // signed: offset from the lowest
      const unsigned int bits = __byte_perm(from.words[i / 2] ^ FLIPPED, 0x4B000000u, i % 2 ? 0x7432 : 0x7410);
      wide.v[i] = __uint_as_float(bits) - (8388608.f - float(Number<T>::low));
    }
  }
  return wide;
}

// Store a four in shared memory, or nothing: if VECTORS sixteen bytes at a time, which the compiler may not split, and
// branch-free, which it may not undo.
template <bool VECTORS, typename A>
__device__ __forceinline__ void put_four(bool wanted, A* to, const Pack<A, 4>& wide) {
#if defined(__CUDA_ARCH__)
  if constexpr (VECTORS) {
    const unsigned int address = (unsigned int)__cvta_generic_to_shared(to);
    if constexpr (sizeof(A) == 4) {
      asm volatile(
          "{\n.reg .pred p;\nsetp.ne.s32 p, %0, 0;\n"
          "@p st.shared.v4.f32 [%1], {%2, %3, %4, %5};\n}" ::"r"(int(wanted)),
          "r"(address), "f"(wide.v[0]), "f"(wide.v[1]), "f"(wide.v[2]), "f"(wide.v[3])
          : "memory");
    } else {
      asm volatile(
          "{\n.reg .pred p;\nsetp.ne.s32 p, %0, 0;\n@p st.shared.v2.f64 [%1], {%2, %3};\n"
          "@p st.shared.v2.f64 [%1+16], {%4, %5};\n}" ::"r"(int(wanted)),
          "r"(address), "d"(wide.v[0]), "d"(wide.v[1]), "d"(wide.v[2]), "d"(wide.v[3])
          : "memory");
    }
    return;
  }
#endif
  if (!wanted) return;
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = wide.v[i];
}

// Where a thread begins that processes the same four of several rows, `rows` apart: addresses need only additions.
struct FoursOfRows {
  int row, column, rows;

  __device__ explicit FoursOfRows(int fours) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    rows = quotient(blockDim.x * blockDim.y, fours);
    row = quotient(thread, fours);
    column = 4 * (thread - row * fours);
    if (row >= rows) row = 1 << 30;  // of no row
  }
};

// Load rows of fours inside the image, each `bytes` after the one above. All loads of a thread, at most MOST, are in
// flight before it needs the first value.
template <bool VECTORS, bool ALIGNED, int MOST, typename T, typename A>
__device__ __forceinline__ void load_wide_inside(const T* from, unsigned int bytes, A* tile, int pitch, int height,
                                                 int fours) {
  constexpr int AT_ONCE = sizeof(A) == 8 ? 2 : ALIGNED ? MOST : 4;
  const FoursOfRows mine(fours);
  const unsigned long long column = address_of(from + mine.column);
  tile += mine.column;
#pragma unroll 1
  for (int first = mine.row; first < height; first += AT_ONCE * mine.rows) {
    Four<T> values[AT_ONCE];
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i) {
      const int row = first + i * mine.rows;
      if (row < height)
        values[i] = load_four<ALIGNED>(reinterpret_cast<const T*>(column + (unsigned long long)unsigned(row) * bytes));
    }
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i) {
      const int row = first + i * mine.rows;
      put_four<VECTORS>(row < height, tile + row * pitch, as_wide<A>(values[i]));
    }
  }
}

constexpr int EDGE_ROWS = 64;  // rows whose positions are looked up at a time

// Load rows of fours that may be beyond the edges; all threads of a block. Here, too, a thread's loads from several
// rows are in flight together: small images wait for the blocks at the edges.
template <bool VECTORS, typename T, typename A>
__device__ __forceinline__ void load_wide_edges(const Surrounded<T>& image, const Region& region, A* tile, int pitch,
                                                int fours) {
  constexpr int BESIDE = sizeof(T) < 4 ? 4 / sizeof(T) - 1 : 0, AT_ONCE = sizeof(A) < 8 ? 4 : 2;
  __shared__ long long begins[EDGE_ROWS];
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
  const A outside = A(T(image.cval));
#pragma unroll 1
  for (int top = 0; top < region.height; top += EDGE_ROWS, tile += EDGE_ROWS * pitch) {
    const int height = min(EDGE_ROWS, region.height - top);
    __syncthreads();
#pragma unroll 1
    for (int i = thread; i < height; i += threads)
      begins[i] = begin_of(region.top + top + i, image.rows, image.cols, image.mode);
    __syncthreads();
#pragma unroll 1
    for (int from = 0; from < fours; from += threads) {
      const FoursOfRows mine(min(fours - from, threads));
      const long long x = region.left + 4 * from + mine.column;
      A* const to = tile + 4 * from + mine.column;
      if (x >= BESIDE && x + 4 + BESIDE <= image.cols) {
#pragma unroll 1
        for (int row = mine.row; row < height; row += AT_ONCE * mine.rows) {
          Four<T> values[AT_ONCE];
          bool there[AT_ONCE];
#pragma unroll
          for (int i = 0; i < AT_ONCE; ++i) {
            const long long begin = begins[min(row + i * mine.rows, height - 1)];
            there[i] = begin >= 0;
            values[i] = load_four<false>(image.data + present(begin) + x);
          }
#pragma unroll
          for (int i = 0; i < AT_ONCE; ++i) {
            Pack<A, 4> wide = as_wide<A>(values[i]);
#pragma unroll
            for (int k = 0; k < 4; ++k) wide.v[k] = there[i] ? wide.v[k] : outside;
            const int below = row + i * mine.rows;
            put_four<VECTORS>(below < height, to + below * pitch, wide);
          }
        }
      } else {
        // One column at a time, in a loop that is not unrolled: the folding code is long.
#pragma unroll 1
        for (int k = 0; k < 4; ++k) {
          const long long place = fold_element(x + k, image.cols, image.step, image.mode);
          const T* const column = image.data + max(place, 0ll);
#pragma unroll 1
          for (int row = mine.row; row < height; row += 2 * AT_ONCE * mine.rows) {
            A values[2 * AT_ONCE];
#pragma unroll
            for (int i = 0; i < 2 * AT_ONCE; ++i) {
              const long long begin = begins[min(row + i * mine.rows, height - 1)];
              const T value = __ldg(column + present(begin));
              values[i] = begin < 0 || place < 0 ? outside : A(value);
            }
#pragma unroll
            for (int i = 0; i < 2 * AT_ONCE; ++i)
              if (row + i * mine.rows < height) to[(row + i * mine.rows) * pitch + k] = values[i];
          }
        }
      }
    }
  }
}

// Fill rows of `pitch` elements in shared memory with values of type A, in whole fours; the threads of a block
// together, synchronised afterwards. If VECTORS, `pitch` is a multiple of four and the tile is aligned to 16 bytes.
// MOST is the number of fours that a thread has in flight, if registers allow.
template <bool VECTORS, int MOST, typename T, typename A>
__device__ __forceinline__ void load_wide_tile(const Surrounded<T>& image, const Region& region, A* tile, int pitch) {
  constexpr int BESIDE = sizeof(T) < 4 ? 4 / sizeof(T) - 1 : 0, WORD = sizeof(T) < 4 ? 4 * sizeof(T) : 16;
  const int fours = (region.width + 3) / 4;
  if (region.top < 0 || region.top + region.height > image.rows || region.left < BESIDE ||
      region.left + 4 * fours + BESIDE > image.cols || fours > int(blockDim.x * blockDim.y) ||
      image.cols > 0xffffffffu / (long long)sizeof(T)) {
    load_wide_edges<VECTORS>(image, region, tile, pitch, fours);
    return;
  }
  const T* const from = image.data + region.top * image.cols + region.left;
  const unsigned int bytes = (unsigned int)image.cols * sizeof(T);
  if (((address_of(from) | bytes) & (WORD - 1)) == 0)
    load_wide_inside<VECTORS, true, MOST>(from, bytes, tile, pitch, region.height, fours);
  else
    load_wide_inside<VECTORS, false, MOST>(from, bytes, tile, pitch, region.height, fours);
}

// Store rows of a tile, which begin at multiples of 16 bytes, from `dst` on; the threads of a block together: as fours
// if these are aligned in the image, else a warp per row, with elements of less than four bytes stored in words.
template <typename T>
__device__ __forceinline__ void store_tile(const T* tile, int pitch, T* dst, long long cols, int height, int width) {
  constexpr int WORD = sizeof(T) < 4 ? 4 * sizeof(T) : 16;
  if (width % 4 == 0 && ((address_of(dst) | (unsigned long long)cols * sizeof(T)) & (WORD - 1)) == 0) {
    const FoursOfRows mine(width / 4);
    if (mine.row >= height) return;
    tile += mine.row * pitch + mine.column;
    dst += mine.row * cols + mine.column;
    const long long below = mine.rows * cols;
#pragma unroll 4
    for (int row = mine.row; row < height; row += mine.rows) {
      store_aligned(dst, *reinterpret_cast<const Pack<T, 4>*>(tile));
      tile += mine.rows * pitch;
      dst += below;
    }
    return;
  }
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, warps = blockDim.x * blockDim.y / 32;
  const int lane = thread % 32;
#pragma unroll 1
  for (int row = thread / 32; row < height; row += warps) {
    const T* const from = tile + row * pitch;
    T* const to = dst + row * cols;
    if constexpr (sizeof(T) >= 4) {
#pragma unroll 4
      for (int x = lane; x < width; x += 32) to[x] = from[x];
    } else {
      constexpr int PER_WORD = 4 / sizeof(T);
      const unsigned int* const words = reinterpret_cast<const unsigned int*>(from);
      const int lead = int(address_of(to) & 3) / int(sizeof(T));
      unsigned int* const aligned = reinterpret_cast<unsigned int*>(to - lead);
#pragma unroll 1
      for (int i = lane; i * PER_WORD < lead + width; i += 32) {
        const int x = i * PER_WORD - lead;
        if (x >= 0 && x + PER_WORD <= width) {
          aligned[i] = lead ? __funnelshift_l(words[i - 1], words[i], 8 * int(sizeof(T)) * lead) : words[i];
        } else {
#pragma unroll 1
          for (int k = max(x, 0); k < min(x + PER_WORD, width); ++k) to[k] = from[k];
        }
      }
    }
  }
}
