// launch: flat, bytes 32
// instances: weighted_sum<T, T>; weighted_sum<float, I>; weighted_sum<unsigned short, unsigned char>
#include "vectors.cuh"

// Weighted sum of two images.
template <typename T, typename U>
__global__ void weighted_sum(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                             long long dst_cols, long long top, long long bottom, const U* other, long long other_rows,
                             long long other_cols, double weight, double other_weight) {
  typedef Wide<U> A;
  const A first = A(weight), second = A(other_weight);
  const long long offset = top * cols;
  map_pairs(src + offset, other + offset, dst + offset, (bottom - top) * cols,
            [=](T a, U b) { return rounded<U>(A(a) * first + A(b) * second); });
}
