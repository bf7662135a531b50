// launch: flat, bytes 32
// instances: nan_mean<F, F>
#include "numbers.cuh"
#include "vectors.cuh"

// Means that ignore NaN: sums of `nan_weights` divided by the sums of the weights, NaN where these are 0. Constants are
// kept, see `constant_kept`; `centre` is the image.
template <typename T, typename U>
__global__ void nan_mean(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                         long long top, long long bottom, const U* weights, long long weights_rows,
                         long long weights_cols, const U* centre, long long centre_rows, long long centre_cols,
                         double tolerance) {
  constexpr int N = Chunk<T, U>::elements;
  const long long offset = top * cols, count = (bottom - top) * cols;
  const U *const divisors = weights + offset, *const middles = centre + offset;
  const U near = U(tolerance), nothing = U(__int_as_float(0x7fc00000));
  map_chunks<1>(src + offset, dst + offset, count, [=](long long first, const Pack<T, N>& in, Pack<U, N>& out) {
    Pack<U, N> divisor, middle;
    load<U, N>(divisors + first, divisors, divisors + count, divisor);
    load<U, N>(middles + first, middles, middles + count, middle);
#pragma unroll
    for (int i = 0; i < N; ++i)
      out.v[i] = divisor.v[i] > U(0) ? constant_kept(U(in.v[i] / divisor.v[i]), middle.v[i], near) : nothing;
  });
}
