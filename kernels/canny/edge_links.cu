// launch: tile 32x8, pixels 4x1
// instances: pack<unsigned char, unsigned int>; edge_links<unsigned int>; unpack<unsigned int, unsigned char>
#include "columns.cuh"
#include "linking.cuh"

// Levels as bits: 32 pixels of a channel are a word. All rows of the first channel, then those of the next; a weak or
// strong pixel is set in `weak`, a strong one in `strong`.
template <typename T, typename W>
__global__ void pack(const T* src, long long rows, long long cols, W* weak, long long weak_rows, long long words,
                     long long top, long long bottom, W* strong, long long strong_rows, long long strong_words,
                     long long step) {
  each_column(words, top, bottom, [=](long long line, long long w) {
    const long long channel = line / rows;
    const T* const from = src + (line - channel * rows) * cols;
    W some = 0, most = 0;
    for (int k = 0; k < 32; ++k) {
      const long long x = (w * 32 + k) * step + channel;
      const T level = x < cols ? from[x] : T(0);
      some |= W(level != 0) << k;
      most |= W(level & 1) << k;
    }
    weak[line * words + w] = some;
    strong[line * words + w] = most;
  });
}

// Link within slabs of rows, a warp to each slab of each channel. Ends, since each turn but the last makes a pixel strong.
template <typename W>
__global__ void edge_links(const W* weak, long long lines, long long words, W* strong, long long strong_lines,
                           long long strong_words, long long rows, long long top, long long height, long long reach) {
  const int lane = threadIdx.x;
  const long long first = (top + blockIdx.x) * height, last = first + height < rows ? first + height : rows;
  for (long long channel = blockIdx.y; channel < lines / rows; channel += gridDim.y) {
    const W* const all = weak + channel * rows * words;
    W* const found = strong + channel * rows * words;
    const auto pull = [=](long long beside, long long row, bool always) {
      return spread(found + beside * words, all + row * words, found + row * words, words, lane, reach == 1, always);
    };
    spread_along(all + first * words, found + first * words, words, lane);
    bool changed = true;
    for (bool start = true; changed; start = false) {
      changed = false;
      for (long long row = first + 1; row < last; ++row) changed |= pull(row - 1, row, start);
      for (long long row = last - 2; row >= first; --row) changed |= pull(row + 1, row, false);
    }
  }
}

template <typename W, typename U>
__global__ void unpack(const W* weak, long long lines, long long words, U* dst, long long rows, long long cols,
                       long long top, long long bottom, const W* strong, long long strong_lines, long long strong_words,
                       long long step) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long pixel = x / step, channel = x - pixel * step;
    const long long at = (channel * rows + row) * words + pixel / 32;
    const int bit = int(pixel % 32);
    dst[row * cols + x] = U(2 * (weak[at] >> bit & 1) - (strong[at] >> bit & 1));
  });
}
