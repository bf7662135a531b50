// launch: tile 32x8, pixels 4x1
// instances: laplace<T, A>
#include "borders.cuh"
#include "columns.cuh"
#include "numbers.cuh"

// The sum of the second differences down the columns and along the rows.
template <typename T, typename U>
__global__ void laplace(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, long long step, long long mode, double cval) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const auto value = [=](long long r, long long c) { return r < 0 || c < 0 ? U(T(cval)) : U(src[r * cols + c]); };
    const U above = value(fold(row - 1, rows, mode), x), below = value(fold(row + 1, rows, mode), x);
    const U left = value(row, fold_element(x - step, cols, step, mode));
    const U right = value(row, fold_element(x + step, cols, step, mode));
    dst[row * cols + x] = ((above + below) + (left + right)) - value(row, x) * U(4);
  });
}
