// launch: slabs, threads 256
// instances: translucent<T, long long>

// 1 if a slab of rows has a pixel whose alpha, the last channel, is not `most`, else 0.
template <typename T, typename U>
__global__ void translucent(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                            long long dst_cols, long long top, long long bottom, long long step, double most) {
  const long long slab = top + blockIdx.y;
  const long long begin = slab * rows / dst_rows * cols, end = (slab + 1) * rows / dst_rows * cols;
  const T opaque = T(most);
  __shared__ int found;
  if (threadIdx.x == 0) found = 0;
  __syncthreads();
  for (long long at = begin + threadIdx.x * step + step - 1; at < end; at += 256 * step)
    if (src[at] != opaque) found = 1;
  __syncthreads();
  if (threadIdx.x == 0) dst[slab * dst_cols] = found;
}
