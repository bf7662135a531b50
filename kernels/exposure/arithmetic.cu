// launch: flat, bytes 32
// instances: arithmetic<T, T>
#include "arithmetic.cuh"

template <Operation OPERATION, typename T>
__device__ __forceinline__ void combine(const T* src, const T* other, T* dst, long long count) {
  map_pairs(src, other, dst, count, [](T a, T b) { return computed<OPERATION, T>(a, b); });
}

// Two images added, subtracted, multiplied or divided, value by value.
template <typename T, typename U>
__global__ void arithmetic(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                           long long top, long long bottom, long long operation, const U* other, long long other_rows,
                           long long other_cols) {
  const long long offset = top * cols, count = (bottom - top) * cols;
  src += offset;
  other += offset;
  dst += offset;
  if (operation == ADD)
    combine<ADD>(src, other, dst, count);
  else if (operation == SUBTRACT)
    combine<SUBTRACT>(src, other, dst, count);
  else if (operation == MULTIPLY)
    combine<MULTIPLY>(src, other, dst, count);
  else
    combine<DIVIDE>(src, other, dst, count);
}
