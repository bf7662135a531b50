// launch: tile 32x8, pixels 32x1
// instances: flip<M, M>; flip_rows<M, M>
#include "vectors.cuh"

// Reverse the pixels of STEP elements in a Pack.
template <int STEP, typename T, int N>
__device__ __forceinline__ void turn(const Pack<T, N>& in, Pack<T, N>& out) {
  if constexpr (STEP == 1 && sizeof(T) <= 2) {
    constexpr int words = N * sizeof(T) / 4;
    union {
      Pack<T, N> values;
      unsigned w[words];
    } from = {in}, to;
#pragma unroll
    for (int i = 0; i < words; ++i) to.w[i] = __byte_perm(from.w[words - 1 - i], 0, sizeof(T) == 1 ? 0x0123 : 0x1032);
    out = to.values;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) out.v[i] = in.v[N - STEP - i / STEP * STEP + i % STEP];
  }
}

// Copy one row, by all threads of a row of blocks: chunks of 16 bytes, or STEP times as many, begin with a pixel and
// are aligned in the result; elements before the first and after the last chunk are copied singly.
template <int STEP, bool TURNED, typename T>
__device__ __forceinline__ void fill_row(const T* source, T* target, long long cols) {
  constexpr int N = 16 / sizeof(T), SIZE = STEP * N;
  static_assert(STEP == 1 || STEP == 3, "11 is the inverse of 3, for N of 16, 8, 4 and 2");
  const int lead = int((16 - address_of(target) % 16) % 16 / sizeof(T)), begin = STEP == 1 ? lead : lead * 11 % N * 3;
  const long long stride = (long long)gridDim.x * blockDim.x * SIZE;
  const T* const end = source + cols;
  for (long long first = begin - SIZE + ((long long)blockIdx.x * blockDim.x + threadIdx.x) * SIZE; first < cols;
       first += stride) {
    if (first >= 0 && first + SIZE <= cols) {
      Pack<T, SIZE> in, out;
      load<T, SIZE>(TURNED ? end - SIZE - first : source + first, source, end, in);
      if constexpr (TURNED)
        turn<STEP>(in, out);
      else
        out = in;
      store_aligned<T, SIZE>(target + first, out);
    } else {
#pragma unroll 1
      for (int i = 0; i < SIZE; ++i) {
        const long long x = first + i;
        if (x >= 0 && x < cols) target[x] = TURNED ? end[-STEP - (x - i % STEP) + i % STEP] : source[x];
      }
    }
  }
}

// Reverse the columns, or rows and columns.
template <typename T, typename U>
__global__ void __launch_bounds__(256, 3)
    flip(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
         long long bottom, long long step, long long vertical) {
  const long long row = top + (long long)blockIdx.y * blockDim.y + threadIdx.y;
  if (row >= bottom) return;
  const T* const source = src + (vertical ? rows - 1 - row : row) * cols;
  U* const target = dst + row * cols;
  if (step == 1) {
    fill_row<1, true>(source, target, cols);
  } else if (step == 3) {
    fill_row<3, true>(source, target, cols);
  } else {
    for (long long x = (long long)blockIdx.x * blockDim.x + threadIdx.x; x < cols; x += gridDim.x * blockDim.x) {
      const long long channel = x % step;
      target[x] = source[cols - step - (x - channel) + channel];
    }
  }
}

// Copy rows, or reverse their order: in few registers, so that loads of many threads are in flight.
template <typename T, typename U>
__global__ void __launch_bounds__(256, 6)
    flip_rows(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
              long long top, long long bottom, long long vertical) {
  const long long row = top + (long long)blockIdx.y * blockDim.y + threadIdx.y;
  if (row < bottom) fill_row<1, false>(src + (vertical ? rows - 1 - row : row) * cols, dst + row * cols, cols);
}
