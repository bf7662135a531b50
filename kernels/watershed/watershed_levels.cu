// launch: tile 32x8, pixels 1x4
// instances: watershed_levels<T>
#include "water.cuh"

// Lowers the level of each pixel to the minimum of its neighbours' levels, but not below its own value.
template <typename T>
__global__ void __launch_bounds__(256, 2) watershed_levels(T* levels, long long rows, long long cols, const T* image,
                                                        long long image_rows, long long image_cols, const int* markers,
                                                        long long marker_rows, long long marker_cols, long long step,
                                                        long long connectivity, long long* changed, long long counts,
                                                        long long counted) {
  relax(
      levels, rows, cols, step, changed,
      [=](long long row, long long x) {
        const long long place = row * cols + x;
        const T value = image[place];
        Way<T> way{0, highest<T>()};
        if (is_free(value, markers[place])) {
          way.parameter = value;
          each_neighbour(row, x, rows, cols, step, connectivity, [&](int bit, long long) { way.from |= bit; });
        }
        return way;
      },
      [](T minimum, T value) { return minimum > value ? minimum : value; });
}
