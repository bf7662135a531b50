// launch: flat, bytes 32
// instances: where_number<unsigned char, M>
#include "conditions.cuh"

// A number where a condition is true, or where it is false, and the values of an image elsewhere.
template <typename T, typename U>
__global__ void where_number(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                             long long dst_cols, long long top, long long bottom, long long channels, const U* other,
                             long long other_rows, long long other_cols, long long number, long long holds) {
  constexpr int N = Chunk<T, U>::elements;
  const long long offset = top * dst_cols, count = (bottom - top) * dst_cols;
  const U value = U(number);
  const bool wanted = holds != 0;
  map_conditions(src + top * cols, other + offset, dst + offset, count, channels,
                 [=](long long, const Pack<T, N>& found, const Pack<U, N>& in, Pack<U, N>& out) {
#pragma unroll
                   for (int i = 0; i < N; ++i) out.v[i] = (found.v[i] != 0) == wanted ? value : in.v[i];
                 });
}
