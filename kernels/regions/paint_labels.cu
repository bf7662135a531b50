// launch: tile 32x8, pixels 4x1
// instances: paint_labels<T, T>; paint_labels<int, unsigned char>
#include "columns.cuh"
#include "numbers.cuh"

template <typename T>
__device__ __forceinline__ T largest(T red, T green, T blue) {
  const T most = green > red || is_nan(green) ? green : red;
  return blue > most || is_nan(blue) ? blue : most;
}

// Colours painted over an image by its labels; see paint_labels.py.
template <typename T, typename U>
__global__ void paint_labels(const T* src, long long rows, long long cols, U* dst, long long dst_rows,
                             long long dst_cols, long long top, long long bottom, const int* labels,
                             long long label_rows, long long label_cols, const int* places, long long place_rows,
                             long long place_cols, const double* table, long long colors, long long parts,
                             long long step, double saturation) {
  typedef Wide<U> A;
  const A kept = A(saturation), grey = A(1 - saturation);
  each_column(dst_cols, top, bottom, [=](long long row, long long at) {
    const long long x = at / 3, channel = at % 3;
    const double* color = table + 4 * (long long)places[labels[row * label_cols + x]];
    const T* pixel = src + row * cols + step * x;
    A value = A(pixel[0]);
    if (step == 3)
      value = weighed(A(pixel[channel]), kept) + weighed(A(largest(pixel[0], pixel[1], pixel[2])), grey);
    dst[row * dst_cols + at] = rounded<U>(A(color[channel]) + weighed(value, A(color[3])));
  });
}
