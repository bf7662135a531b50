// launch: tile 32x8, pixels 4x1
// instances: weighted_sum<T, T>; weighted_sum<float, I>; weighted_sum<unsigned short, unsigned char>
#include "columns.cuh"
#include "numbers.cuh"

// Two images, each weighed, added up.
template <typename T, typename U>
__global__ void weighted_sum(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                             long long dst_cols, long long top, long long bottom, const U* other, long long other_rows,
                             long long other_cols, double weight, double other_weight) {
  typedef Wide<U> A;
  const A first = A(weight), second = A(other_weight);
  each_column(cols, top, bottom, [=](long long row, long long x) {
    const long long at = row * cols + x;
    dst[at] = rounded<U>(A(src[at]) * first + A(other[at]) * second);
  });
}
