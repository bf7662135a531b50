// launch: tile 32x8, pixels 8x4
// instances: pick<M, M>
#include "spread.cuh"

// Nearest-neighbour interpolation: single samples, with rows and columns given by tables.
template <typename T, typename U>
__global__ void __launch_bounds__(256)
    pick(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
         long long bottom, long long step, const long long* i0, long long downs, long long down_taps,
         const long long* i1, long long alongs, long long along_taps) {
  const long long row = first_row(top);
  const int count = int(bottom - row < ROWS ? bottom - row : ROWS);
  if (count <= 0) return;
  const T* lines[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) lines[r] = src + __ldg(i0 + row + (r < count ? r : 0)) * cols;
  long long x = first_column();
#pragma unroll 2
  for (int k = 0; k < COLUMNS; ++k, x += blockDim.x) {
    if (x >= dst_cols) return;
    const long long pixel = pixel_of(x, step), from = __ldg(i1 + pixel) * step + (x - pixel * step);
    T values[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) values[r] = __ldg(lines[r] + from);
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
      if (r < count) dst[(row + r) * dst_cols + x] = values[r];
  }
}
