// A block's part of an image, with what surrounds it, in shared memory.
#pragma once
#include "borders.cuh"
#include "numbers.cuh"

// An image as flat rows, and what lies beyond its edges.
template <typename T>
struct Surrounded {
  const T* data;
  long long rows, cols, step, mode;
  double cval;

  __device__ T operator()(long long row, long long x) const {
    return at(data, rows, cols, row, x, step, mode, cval);
  }
};

// Where a tile lies; it may reach beyond the image.
struct Region {
  long long top, left;
  int height, width;
};

// Steps through the items of a tile's rows, `width` of which are a row, for the threads of a block.
struct Strides {
  int row, column, down, along, width;

  __device__ explicit Strides(int width) : width(width) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    row = thread / width;
    column = thread - row * width;
    down = threads / width;
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

// Fill rows of `pitch` elements in shared memory; the threads of a block together, which wait for each other afterwards.
// Elements of less than four bytes are moved in words, up to the next multiple of one: `pitch` and the tile's address are
// such multiples.
template <typename T>
__device__ __forceinline__ void load_tile(const Surrounded<T>& image, const Region& region, T* tile, int pitch) {
  constexpr int PER_WORD = sizeof(T) < 4 ? 4 / sizeof(T) : 1;
  const int words = (region.width + PER_WORD - 1) / PER_WORD;
  const long long first = region.top * image.cols + region.left;
  const long long last = first + (region.height - 1) * image.cols + words * PER_WORD;
  const bool inside = region.top >= 0 && region.top + region.height <= image.rows && region.left >= 0 &&
                      region.left + region.width <= image.cols;
  // An aligned word may hold bytes before the first element and behind the last one.
  if (inside && first >= PER_WORD - 1 && last + PER_WORD - 1 <= image.rows * image.cols) {
    const T* const base = image.data + first;
    if constexpr (PER_WORD == 1) {
#pragma unroll 4
      for (Strides at(words); at.row < region.height; at.advance())
        tile[at.row * pitch + at.column] = __ldg(base + at.row * image.cols + at.column);
    } else {
      typedef unsigned int Word;
#pragma unroll 4
      for (Strides at(words); at.row < region.height; at.advance()) {
        const unsigned long long from = reinterpret_cast<unsigned long long>(base + at.row * image.cols);
        const int shift = int(from & 3);
        const Word* const word = reinterpret_cast<const Word*>(from - shift) + at.column;
        const Word low = __ldg(word), high = shift ? __ldg(word + 1) : 0u;
        reinterpret_cast<Word*>(tile + at.row * pitch)[at.column] = __funnelshift_r(low, high, 8 * shift);
      }
    }
    return;
  }
  for (Strides at(region.width); at.row < region.height; at.advance())
    tile[at.row * pitch + at.column] = image(region.top + at.row, region.left + at.column);
}
