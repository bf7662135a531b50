// launch: tile 32x8, pixels 4x1
// instances: tile_blending<unsigned char, unsigned short>
#include "numbers.cuh"
#include "columns.cuh"

__device__ __forceinline__ float between(float first, float second, float weight) {
  return first + (second - first) * weight;
}

// Maps values by the tables of the four surrounding tiles, with bilinear interpolation between their centres.
template <typename T, typename U>
__global__ void tile_blending(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                              long long dst_cols, long long top, long long bottom, long long tile_rows,
                              long long tile_cols, const float* tables, long long count, long long levels) {
  const long long down = (rows + tile_rows - 1) / tile_rows, across = (cols + tile_cols - 1) / tile_cols;
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long y_place = row + tile_rows / 2, x_place = x + tile_cols / 2;
    const long long low = y_place / tile_rows, right = x_place / tile_cols;
    const float y_weight = float(y_place % tile_rows) / float(tile_rows);
    const float x_weight = float(x_place % tile_cols) / float(tile_cols);
    const long long above = (low > 0 ? low - 1 : 0) * across, below = (low < down ? low : down - 1) * across;
    const long long west = right > 0 ? right - 1 : 0, east = right < across ? right : across - 1;
    const float* of_level = tables + src[row * cols + x];
    const float first = between(of_level[(above + west) * levels], of_level[(below + west) * levels], y_weight);
    const float second = between(of_level[(above + east) * levels], of_level[(below + east) * levels], y_weight);
    dst[row * cols + x] = rounded<U>(between(first, second, x_weight));
  });
}
