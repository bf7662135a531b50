// launch: flat, bytes 32
// instances: lut<unsigned char, U>; lut<unsigned short, U>
#include "vectors.cuh"

// dst = table[v], or table[channel, v] if the table has a row for each channel.
template <typename T, typename U>
__global__ void lut(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                    long long top, long long bottom, long long step, const U* table, long long tables, long long values) {
  constexpr int N = Chunk<T, U>::elements;
  src += top * cols;
  dst += top * cols;
  const long long count = (bottom - top) * cols;
  const U* entries = table;
  if constexpr (sizeof(T) == 1 && sizeof(U) <= 2) {
    __shared__ U near_table[256];  // a copy pays for sixteen loads per thread
    if (tables == 1) {
      for (int i = threadIdx.x; i < 256; i += blockDim.x) near_table[i] = table[i];
      __syncthreads();
      entries = near_table;
    }
  }
  if (tables == 1) {
    map_elements(src, dst, count, [=](T v) { return entries[v]; });
    return;
  }
  map_chunks<1>(src, dst, count, [=](long long first, const Pack<T, N>& in, Pack<U, N>& out) {
    long long channel = (first + N * step) % step;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      out.v[i] = table[channel * values + in.v[i]];
      channel = channel + 1 == step ? 0 : channel + 1;
    }
  });
}
