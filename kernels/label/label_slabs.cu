// launch: tile 32x8, pixels 1x1
// instances: tiles<I>; borders<I>; tiles<unsigned int>; borders<unsigned int>
#include "label_nodes.cuh"
#include "unions.cuh"

// Connected components of equal nonzero values, for the whole image: each pixel's node is set to the index of an
// earlier node of its component, or to its own index if it is the first one, the root; 0 in the background.

// Step 1, within tiles of 32 x 32 pixels, one warp per tile: unite a row's runs with those of the row above.
template <typename T>
__global__ void __launch_bounds__(256, 2) tiles(const T* src, long long rows, long long cols, int* nodes, long long parts,
                                             long long stride, long long step, long long height, long long reach) {
  __shared__ int tables[8][32 * 32];
  const int lane = threadIdx.x;
  int* const table = tables[threadIdx.y];
  const long long pixels = cols / step, left = ((long long)blockIdx.x * 8 + threadIdx.y) * 32;
  if (left >= pixels) return;
  const long long bands = (rows + 31) / 32, all = bands * step, slabs = parts / step;
  for (long long band = blockIdx.y; band < all; band += gridDim.y) {
    const long long channel = band / bands, top = (band - channel * bands) * 32;
    const int lines = int(min(rows - top, 32ll));
    const bool inside = left + lane < pixels;
    const T* p = src + top * cols + (left + lane) * step + channel;
    // The node of this tile's first pixel in the row of the lane's number.
    const int place = first_of_row(channel, min(top + lane, rows - 1), slabs, height, pixels, stride) + int(left);
    if (left == 0 && lane < lines && (top + lane) % height == 0) {
      const long long part = channel * slabs + (top + lane) / height, last = min(rows - top - lane, height);
      nodes[part * stride + COUNT] = int(HEADER + last * pixels);
    }
    int upper = 0, start_above = 0;
    Word32 starts_above = 0;
#pragma unroll 4
    for (int y = 0; y < lines; ++y, p += cols) {
      const int value = inside ? int(*p) : 0;
      const int before = __shfl_up_sync(ALL_LANES, value, 1), after = __shfl_down_sync(ALL_LANES, value, 1);
      const bool starts = lane == 0 || value != before;
      const Word32 all_starts = __ballot_sync(ALL_LANES, starts);
      const int start = 31 - __clz(int(all_starts & (0xffffffffu >> (31 - lane)))), own = y * 32 + start;
      if (value != 0 && starts) table[own] = own;
      __syncwarp();
      const bool touches = y > 0 && value != 0 && value == upper;
      const Word32 all_touch = __ballot_sync(ALL_LANES, touches);
      // Two overlapping runs are united at their first common pixel.
      const Word32 goes_on = (all_touch << 1) & ~all_starts & ~starts_above;
      if (touches && !(goes_on >> lane & 1)) unite<Fresh>(table, own, (y - 1) * 32 + start_above);
      if (reach == 1) {
        const int upper_before = __shfl_up_sync(ALL_LANES, upper, 1), upper_after = __shfl_down_sync(ALL_LANES, upper, 1);
        const int start_before = __shfl_up_sync(ALL_LANES, start_above, 1);
        const int start_after = __shfl_down_sync(ALL_LANES, start_above, 1);
        const bool apart = y > 0 && value != 0 && !touches;
        if (apart && lane > 0 && upper_before == value && before != value)
          unite<Fresh>(table, own, (y - 1) * 32 + start_before);
        if (apart && lane < 31 && upper_after == value && after != value)
          unite<Fresh>(table, own, (y - 1) * 32 + start_after);
      }
      upper = value;
      start_above = start;
      starts_above = all_starts;
      // The background mark, or the pixel's run until its root is known.
      if (value == 0) table[y * 32 + lane] = -1;
      else if (!starts) table[y * 32 + lane] = own;
    }
    __syncwarp();
#pragma unroll 4
    for (int y = 0; y < lines; ++y) {
      const int found = seen(table + y * 32 + lane);
      const int root = found < 0 ? 0 : find<Fresh>(table, found);
      const int node = __shfl_sync(ALL_LANES, place, root >> 5) + (root & 31);
      const int to = __shfl_sync(ALL_LANES, place, y) + lane;
      if (inside) nodes[to] = found < 0 ? 0 : node;
    }
    __syncwarp();
  }
}

// Step 2, across the borders of tiles: one thread per pixel right of or below a border, and channel.
template <typename T>
__global__ void __launch_bounds__(256, 2) borders(const T* src, long long rows, long long cols, int* nodes, long long parts,
                                               long long stride, long long step, long long height, long long reach) {
  const long long pixels = cols / step, slabs = parts / step;
  const long long upright = (pixels - 1) / 32, level = (rows - 1) / 32, count = upright * rows + level * pixels;
  const long long number = (long long)blockIdx.x * 256 + threadIdx.x;
  if (number >= count) return;
  const bool adjacent = number < upright * rows;
  const long long place = adjacent ? number : number - upright * rows, size = adjacent ? upright : pixels;
  const long long line = place / size, rest = place - line * size;
  const long long row = adjacent ? line : (line + 1) * 32, x = adjacent ? (rest + 1) * 32 : rest;
  for (long long channel = blockIdx.y; channel < step; channel += gridDim.y) {
    const T* const at = src + row * cols + x * step + channel;
    const T value = *at;
    if (value == T(0)) continue;
    const int node = first_of_row(channel, row, slabs, height, pixels, stride) + int(x);
    // One step across the border and one along it, in elements and in pixels.
    const long long over = adjacent ? -step : -cols, along = adjacent ? cols : step;
    const long long position = adjacent ? row : x, end = adjacent ? rows : pixels;
    const auto join = [=](long long by) {
      const long long to = adjacent ? row + by : row - 1, col = adjacent ? x - 1 : x + by;
      unite<Cached>(nodes, node, first_of_row(channel, to, slabs, height, pixels, stride) + int(col));
    };
    if (at[over] == value) {
      // The previous pixels in the same two tiles have united them already.
      if (position % 32 == 0 || at[-along] != value || at[over - along] != value) join(0);
      continue;
    }
    if (reach == 0) continue;
    if (position > 0 && at[over - along] == value && at[-along] != value) join(-1);
    if (position + 1 < end && at[over + along] == value && at[along] != value) join(1);
  }
}
