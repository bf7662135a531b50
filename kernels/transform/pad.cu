// launch: tile 32x8, pixels 32x1
// instances: pad<M, M>
#include "borders.cuh"
#include "vectors.cuh"
#include "windows.cuh"

// `fold_element` without 64-bit divisions near the image, as these would dominate the time; `width` is the number of
// pixels in a row.
__device__ __forceinline__ long long fold_padding(long long x, long long cols, long long width, long long step,
                                                  long long mode) {
  if (x >= 0 && x < cols) return x;
  if (x < -cols || x >= 2 * cols || cols >= WIDEST) return fold_element(x, cols, step, mode);
  const int pixel = step == 1 ? int(x) : int(unsigned(x + cols) / unsigned(step)) - int(width);
  const long long inside = fold_near(pixel, width, mode);
  return inside < 0 ? -1 : inside * step + (x - pixel * step);
}

// A part of an image, which may extend beyond the edges by a border mode: in chunks of 16 bytes that are aligned in the
// result, elementwise where a chunk crosses an edge.
template <typename T, typename U>
__global__ void __launch_bounds__(256, 6)
    pad(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols, long long top,
        long long bottom, long long step, long long first_row, long long first_col, long long mode,
        long long fill_value) {
  constexpr int N = 16 / sizeof(T);
  const long long row = top + (long long)blockIdx.y * blockDim.y + threadIdx.y;
  if (row >= bottom) return;
  const long long from = fold(first_row + row, rows, mode), shift = first_col * step;
  const T* const source = src + from * cols;
  U* const target = dst + row * dst_cols;
  const int lead = int(address_of(target) % 16 / sizeof(U));
  const long long stride = (long long)gridDim.x * blockDim.x * N, width = cols / step;
  for (long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * N - lead; first < dst_cols;
       first += stride) {
    const long long x = first + shift;
    if (from >= 0 && first >= 0 && first + N <= dst_cols && x >= 0 && x + N <= cols) {
      Pack<U, N> values;
      load<T, N>(source + x, src, src + rows * cols, values);
      store_aligned<U, N>(target + first, values);
    } else {
#pragma unroll 1
      for (int i = 0; i < N; ++i) {
        if (first + i < 0 || first + i >= dst_cols) continue;
        const long long place = from < 0 ? -1 : fold_padding(x + i, cols, width, step, mode);
        target[first + i] = place < 0 ? U(fill_value) : source[place];
      }
    }
  }
}
