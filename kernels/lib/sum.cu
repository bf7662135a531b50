// launch: slabs, threads 256
// instances: sum<long long, long long>

// The sum of a slab of rows.
template <typename T, typename U>
__global__ void sum(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                    long long top, long long bottom) {
  constexpr int THREADS = 256;
  __shared__ U totals[THREADS];
  const long long slab = top + blockIdx.y;
  const long long begin = slab * rows / dst_rows * cols, end = (slab + 1) * rows / dst_rows * cols;
  U total = 0;
  for (long long i = begin + threadIdx.x; i < end; i += THREADS) total += U(src[i]);
  totals[threadIdx.x] = total;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) totals[threadIdx.x] += totals[threadIdx.x + half];
  }
  if (threadIdx.x == 0) dst[slab * dst_cols] = totals[0];
}
