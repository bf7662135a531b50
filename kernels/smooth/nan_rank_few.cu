// launch: tile 32x8, pixels 4x1
// instances: nan_rank_few<F, F>
#include "columns.cuh"
#include "nan_rank.cuh"

// Where a percentile of the window is NaN, the percentile that ignores NaN.
template <typename T, typename U>
__global__ void nan_rank_few(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                             long long dst_cols, long long top, long long bottom, long long step, long long mode,
                             double cval, long long n0, long long n1, double percentile, long long halves,
                             const U* plain, long long plain_rows, long long plain_cols) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const U known = plain[row * cols + x];
    dst[row * cols + x] =
        is_nan(known) ? percentile_of_numbers(src, rows, cols, row, x, step, mode, cval, n0, n1, percentile, halves)
                      : known;
  });
}
