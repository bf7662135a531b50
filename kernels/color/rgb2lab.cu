// launch: tile 32x8, pixels 4x1
// instances: rgb2lab<T, A>
#include "colors.cuh"

// An sRGB value in proportion to light.
template <typename A>
__device__ __forceinline__ A linear(A value) {
  if (!(value > A(0.04045))) return value * A(1 / 12.92);
  const A scaled = (value + A(0.055)) * A(1 / 1.055), found = inverse_root<5>(scaled), cube = found * found * found;
  return scaled * scaled * (scaled * cube);
}

template <typename A>
__device__ __forceinline__ A response(A light) {
  return light > A(0.008856) ? cube_root(light) : A(7.787) * light + A(16.0 / 116.0);
}

// sRGB as CIE L*, a* and b*; the matrix makes X, Y and Z of linear red, green and blue, as shares of the white's.
template <typename T, typename A>
__global__ void rgb2lab(const T* src, long long rows, long long cols, A* dst, long long dst_rows, long long dst_cols,
                        long long top, long long bottom, const double* matrix, long long matrix_rows,
                        long long matrix_cols) {
  each_color(src, dst, cols, top, bottom, [=](A red, A green, A blue, A* out) {
    red = linear(red);
    green = linear(green);
    blue = linear(blue);
    const A x = response(weighed(matrix, red, green, blue));
    const A y = response(weighed(matrix + 3, red, green, blue));
    const A z = response(weighed(matrix + 6, red, green, blue));
    out[0] = A(116) * y - A(16);
    out[1] = A(500) * (x - y);
    out[2] = A(200) * (y - z);
  });
}
