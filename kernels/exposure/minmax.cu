// launch: slabs, threads 256
// instances: minmax<T, double>
#include "vectors.cuh"

// The minimum and maximum in a slab of rows: dst[slab] holds both. NaN is both where one occurs.
template <typename T, typename U>
__global__ void minmax(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                       long long top, long long bottom) {
  constexpr int N = 16 / sizeof(T), THREADS = 256;
  __shared__ T least[THREADS], greatest[THREADS];
  const long long slab = top + blockIdx.y;
  const long long begin = slab * rows / dst_rows * cols, count = (slab + 1) * rows / dst_rows * cols - begin;
  const T* const from = src + begin;
  T low = from[0], high = from[0];
  const auto take = [&](T a, T b) {
    low = a < low || is_nan(a) ? a : low;  // once NaN, nothing is less
    high = b > high || is_nan(b) ? b : high;
  };
  for (long long first = (long long)threadIdx.x * N; first < count; first += (long long)THREADS * N) {
    Pack<T, N> in;
    load<T, N>(from + first, from, from + count, in);
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (first + k < count) take(in.v[k], in.v[k]);
  }
  least[threadIdx.x] = low;
  greatest[threadIdx.x] = high;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) {
      take(least[threadIdx.x + half], greatest[threadIdx.x + half]);
      least[threadIdx.x] = low;
      greatest[threadIdx.x] = high;
    }
  }
  if (threadIdx.x == 0) {
    dst[slab * dst_cols] = U(low);
    dst[slab * dst_cols + 1] = U(high);
  }
}
