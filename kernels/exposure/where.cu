// launch: flat, bytes 32
// instances: where<unsigned char, M>
#include "conditions.cuh"

// Values of one image where a condition holds, those of another elsewhere.
template <typename T, typename U>
__global__ void where(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                      long long top, long long bottom, long long channels, const U* first, long long first_rows,
                      long long first_cols, const U* second, long long second_rows, long long second_cols) {
  constexpr int N = Chunk<T, U>::elements;
  const long long offset = top * dst_cols, count = (bottom - top) * dst_cols;
  const U* const others = second + offset;
  map_conditions(src + top * cols, first + offset, dst + offset, count, channels,
                 [=](long long at, const Pack<T, N>& holds, const Pack<U, N>& in, Pack<U, N>& out) {
                   Pack<U, N> more;
                   load<U, N>(others + at, others, others + count, more);
#pragma unroll
                   for (int i = 0; i < N; ++i) out.v[i] = holds.v[i] ? in.v[i] : more.v[i];
                 });
}
