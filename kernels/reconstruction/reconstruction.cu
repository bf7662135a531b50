// launch: flat, bytes 32
// instances: settle<T>
#include "orders.cuh"

constexpr int TILE = 32;

// Raises the pixels of a tile of one channel to their neighbours, at most to the mask, until nothing changes within the
// tile; what lies around it is as it was in `from`. A block of one warp does one tile, by sweeps in four directions: a
// thread for each pixel of a row or of a column, which looks at the row or column before.
//
// `changed` takes whether the tile has changed. `before` has the same of the last pass, for all tiles: where none around has
// changed then, this one has nothing to do, and it is the same in both images.
template <typename T>
__global__ void __launch_bounds__(TILE) settle(const T* from, long long rows, long long cols, T* to, long long to_rows,
                                               long long to_cols, const T* mask, long long mask_rows,
                                               long long mask_cols, const unsigned char* before, long long tile_rows,
                                               long long tile_cols, unsigned char* changed, long long changed_rows,
                                               long long changed_cols, long long step, long long connectivity,
                                               long long first) {
  __shared__ T value[TILE + 2][TILE + 3], limit[TILE][TILE + 1];
  __shared__ int raised[TILE];
  const int thread = int(threadIdx.x), corners = connectivity == 2;
  const long long tile = (long long)blockIdx.y * gridDim.x + blockIdx.x;
  if (tile >= tile_rows * tile_cols) return;
  const long long tile_row = tile / tile_cols, place = tile - tile_row * tile_cols;
  const long long channel = place % step, tile_col = place / step, across = tile_cols / step;
  if (!first) {
    bool stale = false;
    for (long long y = tile_row - 1; y <= tile_row + 1; ++y)
      for (long long x = tile_col - 1; x <= tile_col + 1; ++x)
        stale |= y >= 0 && y < tile_rows && x >= 0 && x < across && before[y * tile_cols + x * step + channel];
    if (!stale) {
      if (thread == 0) changed[tile] = 0;
      return;
    }
  }
  const long long top = tile_row * TILE, left = tile_col * TILE, pixels = cols / step;
  const int height = int(rows - top < TILE ? rows - top : TILE), width = int(pixels - left < TILE ? pixels - left : TILE);

  // Beyond the image stands what raises nothing: the pixel next to it.
  for (int y = 0; y < height + 2; ++y) {
    const long long row = top + y - 1 < 0 ? 0 : top + y - 1 < rows ? top + y - 1 : rows - 1;
    for (int x = thread; x < width + 2; x += TILE) {
      const long long col = left + x - 1 < 0 ? 0 : left + x - 1 < pixels ? left + x - 1 : pixels - 1;
      value[y][x] = from[row * cols + col * step + channel];
      if (y >= 1 && y <= height && x >= 1 && x <= width)
        limit[y - 1][x - 1] = unsigned_zero(mask[row * cols + col * step + channel]);
    }
  }
  __syncthreads();

  bool ever = false;
  for (int round = 0; round < TILE * TILE; ++round) {
    bool any = false;
    for (int direction = 0; direction < 4; ++direction) {
      const bool down = direction < 2, forwards = direction % 2 == 0;
      const int steps = down ? height : width, lanes = down ? width : height;
      for (int i = 1; i <= steps; ++i) {
        const int at = forwards ? i : steps + 1 - i, last = forwards ? at - 1 : at + 1, lane = thread + 1;
        if (lane <= lanes) {
          T& here = down ? value[at][lane] : value[lane][at];
          T best = higher(down ? value[last][lane] : value[lane][last], here);
          if (corners) {
            best = higher(down ? value[last][lane - 1] : value[lane - 1][last], best);
            best = higher(down ? value[last][lane + 1] : value[lane + 1][last], best);
          }
          best = limited(best, down ? limit[at - 1][lane - 1] : limit[lane - 1][at - 1]);
          if (best > here) {
            here = best;
            any = true;
          }
        }
        __syncthreads();
      }
    }
    ever |= any;
    raised[thread] = any;
    __syncthreads();
    bool more = false;
    for (int other = 0; other < TILE; ++other) more |= raised[other] != 0;
    __syncthreads();
    if (!more) break;
  }

  raised[thread] = ever;
  __syncthreads();
  if (thread == 0) {
    bool some = false;
    for (int other = 0; other < TILE; ++other) some |= raised[other] != 0;
    changed[tile] = some;
  }
  for (int y = 1; y <= height; ++y)
    if (thread < width) to[(top + y - 1) * cols + (left + thread) * step + channel] = value[y][thread + 1];
}
