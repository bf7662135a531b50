// launch: flat, bytes 32
// instances: difference<L, L>
#include "vectors.cuh"

// One image minus another, saturated: src - other, or other - src.
template <typename T, typename U>
__global__ void difference(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                           long long top, long long bottom, const T* other, long long other_rows, long long other_cols,
                           long long turned) {
  const long long offset = top * cols;
  const bool swapped = turned != 0;
  map_pairs(src + offset, other + offset, dst + offset, (bottom - top) * cols, [=](T a, T b) {
    const T first = swapped ? b : a, second = swapped ? a : b;
    if constexpr (Number<T>::whole)
      return saturated<T>((typename Number<T>::Exact)first - second);
    else
      return T(first - second);
  });
}
