// launch: flat, bytes 32
// instances: rescale<T, unsigned char>; rescale<T, unsigned short>; rescale<T, short>; rescale<T, float>
// instances: rescale<T, double>
#include "vectors.cuh"

// Linear rescaling of the range between two limits to another: (clip(src, low, high) * unit - low * unit) * factor +
// minimum. `unit` is a power of two.
template <typename T, typename U>
__global__ void rescale(const T* src, long long rows, long long cols, U* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, double low, double high, double unit, double factor,
                        double minimum) {
  typedef decltype(Wide<T>() + Wide<U>()) A;
  const A lower = A(low), upper = A(high), scale = A(unit), begin = lower * scale, times = A(factor), from = A(minimum);
  map_elements(src + top * cols, dst + top * cols, (bottom - top) * cols, [=](T v) {
    const A value = A(v), inside = value < lower ? lower : value > upper ? upper : value;
    return rounded<U>((inside * scale - begin) * times + from);
  });
}
