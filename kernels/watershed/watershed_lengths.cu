// launch: tile 32x8, pixels 1x4
// instances: watershed_lengths<T>
#include "water.cuh"

// Lowers the length of each pixel's path within its level: 1 next to a lower level, else 2 more than a neighbour's.
template <typename T>
__global__ void __launch_bounds__(256, 2) watershed_lengths(int* lengths, long long rows, long long cols, const T* image,
                                                         long long image_rows, long long image_cols,
                                                         const int* markers, long long marker_rows,
                                                         long long marker_cols, const T* levels, long long level_rows,
                                                         long long level_cols, long long step, long long connectivity,
                                                         long long* changed, long long counts, long long counted) {
  relax(
      lengths, rows, cols, step, changed,
      [=](long long row, long long x) {
        const long long place = row * cols + x;
        const T value = image[place], level = levels[place];
        Way<int> way{0, NEVER};
        if (is_free(value, markers[place])) {
          bool falls = false;
          each_neighbour(row, x, rows, cols, step, connectivity, [&](int bit, long long other) {
            falls |= levels[other] < level;
            if (levels[other] == level) way.from |= bit;
          });
          if (falls) way = {0, 1};
        }
        return way;
      },
      [](int minimum, int) { return minimum == NEVER ? NEVER : minimum + 2; });
}
