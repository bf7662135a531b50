// launch: tile 128x1, pixels 1x1
// instances: sums_before<long long, long long>; sums_before<double, double>

// Exclusive prefix sums over the rows: one thread per column.
template <typename T, typename U>
__global__ void sums_before(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                            long long dst_cols, long long first, long long last) {
  const long long x = first + (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= last) return;
  U total = U(0);
  for (long long row = 0; row < rows; ++row) {
    dst[row * cols + x] = total;
    total = total + src[row * cols + x];
  }
}
