// launch: tile 32x8, pixels 1x4
// instances: watershed_labels<T>
#include "water.cuh"

// Lowers the label of each pixel to the minimum label of the neighbours that water comes from: those of the minimum
// level, and among these of the minimum length. 0 where no water comes.
template <typename T>
__global__ void __launch_bounds__(256, 2) watershed_labels(int* labels, long long rows, long long cols, const int* markers,
                                                        long long marker_rows, long long marker_cols, const T* levels,
                                                        long long level_rows, long long level_cols, const int* lengths,
                                                        long long length_rows, long long length_cols, long long step,
                                                        long long connectivity, long long* changed, long long counts,
                                                        long long counted) {
  relax(
      labels, rows, cols, step, changed,
      [=](long long row, long long x) {
        const int length = lengths[row * cols + x];
        Way<int> way{0, length == NEVER ? 0 : NEVER};
        if (markers[row * cols + x] != 0 || length == NEVER) return way;
        T level = highest<T>();
        int minimum = NEVER;
        each_neighbour(row, x, rows, cols, step, connectivity, [&](int bit, long long other) {
          if (levels[other] > level || (levels[other] == level && lengths[other] > minimum)) return;
          if (levels[other] < level || lengths[other] < minimum) way.from = 0;
          way.from |= bit;
          level = levels[other];
          minimum = lengths[other];
        });
        return way;
      },
      [](int minimum, int) { return minimum; });
}
