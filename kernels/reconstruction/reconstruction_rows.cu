// launch: slabs, threads 256
// instances: reconstruction_rows<T, T>
#include "orders.cuh"

// First step of morphological reconstruction: limits the seed by the mask, one block per row. `exceeding` receives for
// each row the number of seed values that exceed the mask. A pixel that is NaN in either image is NaN from here on.
template <typename T, typename U>
__global__ void reconstruction_rows(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                                    long long dst_cols, long long top, long long bottom, const T* mask,
                                    long long mask_rows, long long mask_cols, long long step, long long* exceeding,
                                    long long counted_rows, long long counts) {
  __shared__ unsigned long long count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  const long long row = top + blockIdx.y;
  unsigned long long found = 0;
  for (long long x = threadIdx.x; x < cols; x += blockDim.x) {
    const T value = unsigned_zero(src[row * cols + x]), limit = unsigned_zero(mask[row * cols + x]);
    found += value > limit;
    dst[row * cols + x] = is_nan(limit) ? limit : limited(value, limit);
  }
  if (found) atomicAdd(&count, found);
  __syncthreads();
  if (threadIdx.x == 0) exceeding[row] = (long long)count;
}
