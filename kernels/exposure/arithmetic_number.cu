// launch: flat, bytes 32
// instances: arithmetic_number<T, T>
#include "arithmetic.cuh"

template <Operation OPERATION, typename T>
__device__ __forceinline__ void combine(const T* src, T* dst, long long count, Wide<T> number) {
  map_elements(src, dst, count, [=](T v) { return computed<OPERATION, T>(v, number); });
}

// An image plus, minus, times or divided by a number.
template <typename T, typename U>
__global__ void arithmetic_number(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                                  long long dst_cols, long long top, long long bottom, long long operation,
                                  double number) {
  const long long offset = top * cols, count = (bottom - top) * cols;
  const Wide<T> second = Wide<T>(number);
  src += offset;
  dst += offset;
  if (operation == ADD)
    combine<ADD>(src, dst, count, second);
  else if (operation == SUBTRACT)
    combine<SUBTRACT>(src, dst, count, second);
  else if (operation == MULTIPLY)
    combine<MULTIPLY>(src, dst, count, second);
  else
    combine<DIVIDE>(src, dst, count, second);
}
