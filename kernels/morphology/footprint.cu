// launch: tile 32x8, pixels 4x1
// instances: footprint<L, L>
#include "borders.cuh"
#include "columns.cuh"
#include "numbers.cuh"

// The minimum (maximum with `flip`) under the ones of a footprint; NaN if there is one.
template <typename T, typename U>
__global__ void footprint(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                          long long top, long long bottom, long long step, long long mode, double cval,
                          const unsigned char* footprint, long long height, long long width, long long flip) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    T best = T(0);
    bool any = false;
    for (long long i = 0; i < height; ++i) {
      const long long r = fold(row + i - height / 2, rows, mode);
      for (long long j = 0; j < width; ++j) {
        if (!footprint[i * width + j]) continue;
        const long long c = fold_element(x + (j - width / 2) * step, cols, step, mode);
        const T value = r < 0 || c < 0 ? T(cval) : src[r * cols + c];
        if (!any || is_nan(value) || (flip ? value > best : value < best)) best = value;  // once NaN, nothing is less
        any = true;
      }
    }
    dst[row * cols + x] = best;
  });
}
