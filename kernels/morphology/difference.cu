// launch: tile 32x8, pixels 4x1
// instances: difference<L, L>
#include "columns.cuh"
#include "numbers.cuh"

// One image minus another, saturated: src - other, or other - src.
template <typename T, typename U>
__global__ void difference(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                           long long top, long long bottom, const T* other, long long other_rows, long long other_cols,
                           long long turned) {
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const T a = src[row * cols + x], b = other[row * cols + x], first = turned ? b : a, second = turned ? a : b;
    if constexpr (Number<T>::whole)
      dst[row * cols + x] = saturated<T>((typename Number<T>::Exact)first - second);
    else
      dst[row * cols + x] = first - second;
  });
}
