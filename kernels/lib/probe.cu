// launch: slabs, threads 256, added
// instances: probe<unsigned int, unsigned long long>

// The sum of all values: tests whether this device compiles, runs and adds correctly.
template <typename T, typename U>
__global__ void probe(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
                      long long bottom) {
  U sum = 0;
  const long long stride = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < rows * cols; i += stride) sum += src[i];
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_down_sync(0xffffffffu, sum, lanes);
  if (threadIdx.x % 32 == 0) atomicAdd(dst, sum);
}
